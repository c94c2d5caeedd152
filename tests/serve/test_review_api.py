"""The escalation queue over HTTP, on both databases and a real socket."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from review_desk import desk

from orchestrator.schema import Message
from orchestrator.store.escalations import UNRESOLVED
from orchestrator.store.ledger import Idempotency, Ledger
from orchestrator.testing_outcomes import make_outcome

URL = "/api/v1/escalations"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXT = "hives since the tablets, write to jo@example.org"


on_one_database = pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)  # where no query of our own could differ


@pytest.fixture
def noon(ledger):
    """A ledger on each database, whose clock stands still."""
    return Ledger(ledger.engine, ledger.environment, lambda: NOON)


@pytest.fixture
def client(noon):
    with desk(noon) as url, httpx2.Client(base_url=url, timeout=30) as opened:
        yield opened


def record(ledger, request_id, severity="urgent", **more):
    ledger.record(Message(text=TEXT), make_outcome(request_id, severity=severity, **more))


def test_the_queue_comes_in_pages_the_most_severe_first_then_the_one_due_first(client, noon):
    for request_id, severity in (("m1", "routine"), ("m2", "urgent"), ("m3", "emergency"), ("m4", "urgent")):
        record(noon, request_id, severity)
    earlier = Ledger(noon.engine, noon.environment, lambda: NOON - timedelta(minutes=70))
    record(earlier, "m5")
    pages, after = [], None
    while after is not None or not pages:
        body = client.get(URL, params={"limit": 2} | ({"after": after} if after else {})).json()
        pages.append([(one["request_id"], one["overdue"]) for one in body["escalations"]])
        after = body["next"]
    assert pages == [[("m3", False), ("m5", True)], [("m2", False), ("m4", False)], [("m1", False)]]
    assert "jo@example.org" not in client.get(URL).text
    earlier._writer.close()


@on_one_database
def test_a_page_goes_on_after_one_that_was_resolved_meanwhile(client, noon):
    for request_id in ("m1", "m2", "m3"):
        record(noon, request_id)
    first = client.get(URL, params={"limit": 1}).json()
    client.post(f"{URL}/m1/claim")
    client.post(f"{URL}/m1/resolve", json={"resolution": "called"})
    rest = client.get(URL, params={"after": first["next"]}).json()
    assert [one["request_id"] for one in rest["escalations"]] == ["m2", "m3"]
    assert rest["next"] is None


@on_one_database
def test_the_queue_can_be_narrowed_to_statuses(client, noon):
    record(noon, "m1")
    record(noon, "m2")
    client.post(f"{URL}/m1/claim")
    for status, found in (("claimed", ["m1"]), ("open", ["m2"]), ("resolved", [])):
        assert [one["request_id"] for one in client.get(URL, params={"status": status}).json()["escalations"]] == found
    both = client.get(URL, params=[("status", "open"), ("status", "claimed")]).json()["escalations"]
    assert len(both) == 2


def test_it_is_claimed_acknowledged_and_resolved_by_whoever_is_named_or_the_client(client, noon):
    record(noon, "m1")
    assert client.post(f"{URL}/m1/claim", json={"by": " Ann "}).json()["claimed_by"] == "Ann"
    assert client.post(f"{URL}/m1/acknowledge", json={"by": "Ann"}).json()["status"] == "acknowledged"
    done = client.post(f"{URL}/m1/resolve", json={"by": "Ann", "resolution": "told jo@example.org", "label": "informational"})
    assert done.status_code == 200
    assert done.json()["resolution"] == "told [EMAIL]"
    assert [(one["step"], one["by"]) for one in done.json()["history"]] == [
        ("opened", None), ("claimed", "Ann"), ("acknowledged", "Ann"), ("resolved", "Ann"), ("labelled", "Ann"),
    ]  # fmt: skip
    (label,) = noon.labelled(corrections_only=True)
    assert (label["decided"], label["label"]) == ("safety_compliance", "informational")
    record(noon, "m2")
    assert client.post(f"{URL}/m2/claim").json()["claimed_by"] == "desk"
    assert noon.verify() == []


def test_one_escalation_tells_why_it_is_there_and_what_the_customer_was_told(client, noon):
    record(noon, "m1", details={"compliance": {"severity": "urgent", "reasons": ["a rule"], "urgent": True}})
    body = client.get(f"{URL}/m1").json()
    assert body["severity_reasons"] == ["a rule"]
    assert body["probabilities"]["safety_compliance"] == 0.95
    assert body["channel"] == "chat"
    assert body["told"]["kept"] is True
    noon.record(Message(text=TEXT), make_outcome("m2"), Idempotency(client="c", key="k", body_hash="h"))
    assert client.get(f"{URL}/m2").json()["told"] == {"action": "any", "message": "any", "eta_minutes": 60, "kept": True}
    assert "jo@example.org" not in client.get(f"{URL}/m1").text


@on_one_database
def test_who_comes_second_is_told_who_has_it(client, noon):
    record(noon, "m1")
    client.post(f"{URL}/m1/claim", json={"by": "Ann"})
    for step, body in (("claim", {}), ("acknowledge", {}), ("resolve", {"resolution": "done"})):
        refused = client.post(f"{URL}/m1/{step}", json={"by": "Bob"} | body)
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
        assert "Ann has the escalation" in refused.json()["detail"]
        assert (refused.json()["claimed_by"], refused.json()["escalation_status"]) == ("Ann", "claimed")
    assert client.post(f"{URL}/m1/claim", json={"by": "Ann"}).status_code == 200


@on_one_database
def test_what_nobody_has_cannot_be_resolved(client, noon):
    record(noon, "m1")
    refused = client.post(f"{URL}/m1/resolve", json={"resolution": "done"})
    assert (refused.status_code, refused.json()["claimed_by"]) == (409, None)


@on_one_database
def test_what_is_not_there_is_404(client):
    for path in ("m9", "m9%20", "%C3%A9"):
        assert client.get(f"{URL}/{path}").status_code == 404
        assert client.post(f"{URL}/{path}/claim").status_code == 404
        assert client.post(f"{URL}/{path}/resolve", json={"resolution": "done"}).status_code == 404


BAD = [
    ("get", "", {"params": {"limit": 0}}),
    ("get", "", {"params": {"limit": 501}}),
    ("get", "", {"params": {"limit": 10**30}}),
    ("get", "", {"params": {"status": "lost"}}),
    ("get", "", {"params": {"after": "m9"}}),
    ("get", "", {"params": {"after": "m\0"}}),
    ("get", "/m%00", {}),
    ("post", "/m1/claim", {"json": {"by": "x" * 129}}),
    ("post", "/m1/claim", {"json": {"by": "  "}}),
    ("post", "/m1/claim", {"json": {"who": "Ann"}}),
    ("post", "/m1/resolve", {"json": {"resolution": " "}}),
    ("post", "/m1/resolve", {"json": {"resolution": "x" * 4001}}),
    ("post", "/m1/resolve", {"json": {"resolution": "done", "label": "spam"}}),
]


@on_one_database
def test_bad_input_is_a_422_problem(client):
    for method, path, sent in BAD:
        refused = getattr(client, method)(URL + path, **sent)
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json"), (path, sent)


def test_characters_that_no_store_holds_are_replaced(client, noon):
    record(noon, "m1")
    raw = rb'{"by": "A\u0000nn\ud800", "resolution": "d\u0000ne"}'
    headers = {"content-type": "application/json"}
    assert client.post(f"{URL}/m1/claim", content=raw.replace(rb', "resolution": "d\u0000ne"', b""), headers=headers).status_code == 200
    done = client.post(f"{URL}/m1/resolve", content=raw, headers=headers)
    assert (done.json()["resolved_by"], done.json()["resolution"]) == ("A\ufffdnn\ufffd", "d\ufffdne")


def test_while_the_service_starts_it_is_503():
    with desk(None) as url, httpx2.Client(base_url=url) as client:
        for refused in (client.get(URL), client.post(f"{URL}/m1/claim")):
            assert refused.status_code == 503
            assert refused.headers["retry-after"]


def test_without_its_store_it_is_503(tmp_path):
    gone = Ledger.at(f"sqlite:///{tmp_path}/gone/ledger.db", {"DATA_DIR": str(tmp_path)})
    with desk(gone) as url, httpx2.Client(base_url=url) as client:
        assert client.get(URL).status_code == 200
        gone.engine.dispose()
        for file in (tmp_path / "gone").iterdir():
            file.unlink()
        (tmp_path / "gone").rmdir()
        for refused in (client.get(URL), client.get(f"{URL}/m1"), client.post(f"{URL}/m1/claim")):
            assert refused.status_code == 503
            assert str(tmp_path) not in refused.text
    gone.close()


def test_counts_are_of_what_waits(noon):
    for request_id, severity in (("m1", "urgent"), ("m2", "emergency"), ("m3", "emergency"), ("m4", "routine")):
        record(noon, request_id, severity)
    noon.claim("m2", "Ann")
    noon.claim("m4", "Ann")
    noon.resolve("m4", "Ann", "done")
    counts = Ledger(noon.engine, noon.environment, lambda: NOON + timedelta(minutes=90)).waiting_counts()
    assert {name.value: count for name, count in counts.by_severity.items()} == {"emergency": 2, "urgent": 1, "routine": 0}
    assert (counts.overdue, counts.unclaimed) == (3, 2)
    assert [one.request_id for one in noon.escalations(UNRESOLVED, whose=("Ann",))] == ["m2"]
    assert [one.request_id for one in noon.escalations(UNRESOLVED, whose=(None,))] == ["m3", "m1"]
    assert [one.request_id for one in noon.escalations(UNRESOLVED, 1, whose=(None, "Bob"))] == ["m3"]


@on_one_database
def test_of_what_was_erased_only_that_it_was_there_is_shown(client, noon):
    noon.record(Message(text=TEXT, metadata={"customer_id": "C1"}), make_outcome("m1"))
    assert noon.erase("C1", "desk") == 1
    body = client.get(f"{URL}/m1").json()
    assert (body["redacted_text"], body["told"], body["rationale"]) == ("", None, None)


def test_the_document_tells_what_can_go_wrong():
    with desk(None) as url:
        paths = httpx2.get(f"{url}/openapi.json").json()["paths"]
    assert set(paths[f"{URL}/{{request_id}}/claim"]["post"]["responses"]) == {"200", "404", "409", "422", "503"}
    for path in paths.values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                assert status == "200" or list(response["content"]) == ["application/problem+json"]
