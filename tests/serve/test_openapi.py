"""The OpenAPI document is true: whatever the service answers is declared, and whatever is declared is so.

``SCHEMATHESIS_CASES=10000 pytest tests/serve/test_openapi.py -s`` makes up that many requests; by default there are fewer, for CI.
"""

import asyncio
import json
import os
from collections import Counter, defaultdict

import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from rollout_parts import Hanging, Upstream
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from whole_service import in_process, keyed, on_a_socket, whole_app

from serve.access.openapi import METHODS
from serve.app import create_app
from serve.limits.body import BODILESS
from serve.settings import Settings

CASES = int(os.environ.get("SCHEMATHESIS_CASES", "300"))  # 15 to 25 ms of CPU each
SEED = 20_260_314
MESSAGE = {"message": "Where is my order 4432?"}
BODIES = {
    "/api/v1/classify": MESSAGE,
    "/api/v1/classify/batch": {"messages": [MESSAGE]},
    "/api/v1/escalations/{request_id}/resolve": {"resolution": "called back"},
    "/api/v1/releases/active": {"release": "0123456789ab"},
    "/api/v1/releases/challenger": {"release": "0123456789ab", "share": 0.5},
}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document():
    return json.loads(json.dumps(create_app(None, Settings()).openapi()))


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/serve.db"


def operations_of(document):
    return [(path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item]


def valid(document, schema, value):
    jsonschema.Draft202012Validator({"components": document["components"], "allOf": [schema]}).validate(value)


def conforming(document, path, method, response):
    """Assert that an answer is as the document says, and return its status."""
    operation = document["paths"][path][method]
    where = f"{method.upper()} {path} {response.status_code}"
    assert str(response.status_code) in operation["responses"], f"{where} is not declared: {response.text}"
    declared = operation["responses"][str(response.status_code)]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in declared["content"], f"{where} came as {kind}"
    for name, header in declared.get("headers", {}).items():
        assert name.lower() in response.headers or not header.get("required"), f"{where} has no {name}"
    if kind.endswith("json"):
        valid(document, declared["content"][kind]["schema"], response.json())
    if kind == PROBLEM:
        assert response.json()["request_id"] == response.headers["x-request-id"]
    return response.status_code


def hurried(headers):
    """Whether a request asked for an answer within less than a second: then it may be told that it is late."""
    try:
        return float((headers or {}).get("X-Request-Deadline", "inf")) < 1
    except ValueError:
        return False


async def ask(client, path, method, **more):
    url = path.replace("{request_id}", "m-throat").replace("{job_id}", "none")
    body = {"json": BODIES[path]} if path in BODIES and "content" not in more else {}
    return await client.request(method.upper(), url, **body | more)


def statuses(document, app, *requests_of_each, started=True, wanted=lambda path, method: True):
    """The statuses of every operation, in their order, when each is asked in these ways; each answer is as the document says."""

    async def main():
        found = {}
        async with in_process(app, started=started) as client:
            for path, method, _ in operations_of(document):
                if wanted(path, method):
                    answers = [await ask(client, path, method, **one) for one in requests_of_each]
                    found[method, path] = [conforming(document, path, method, answer) for answer in answers]
        return found

    return asyncio.run(main())


def test_the_document_is_valid_and_has_all_routes(document):
    schemathesis.openapi.from_dict(document).validate()
    served = {"/health", "/ready", "/metrics", *BODIES, "/api/v1/jobs/{job_id}", "/api/v1/escalations", "/api/v1/releases"}
    assert served <= set(document["paths"])


def test_every_error_is_declared_as_the_one_problem(document):
    assert "ValidationError" not in json.dumps(document)
    for path, method, operation in operations_of(document):
        assert {"400", "500", "504"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if int(status) >= 400 and (path, status) != ("/ready", "503"):
                assert list(response["content"]) == [PROBLEM], (method, path, status)
                assert response["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert response["content"][PROBLEM]["example"]["status"] == int(status)


def test_headers_are_declared_where_they_are_sent_or_read(document):
    for path, _, operation in operations_of(document):
        parameters = {one["name"]: one["in"] for one in operation["parameters"]}
        assert parameters["X-Request-Deadline"] == "header"
        assert parameters.get("Idempotency-Key") == ("header" if path.startswith("/api/v1/classify") else None)
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            later = (path, status) == ("/api/v1/jobs/{job_id}", "200")
            refused = status in {"409", "429", "503"} and path != "/ready"
            assert ("Retry-After" in response["headers"]) == (later or refused)
            assert ("WWW-Authenticate" in response["headers"]) == (status in {"401", "403"})
            assert ("Location" in response["headers"]) == (path == "/api/v1/classify" and status == "202")
            assert ("Idempotency-Replayed" in response["headers"]) == (path.startswith("/api/v1/classify") and status in {"200", "202"})


def test_every_example_is_valid_under_its_schema(document):
    checked = 0

    def walk(node, schema=None):
        nonlocal checked
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            schema = node.get("schema", node)
            examples = node.get("examples", []) if isinstance(node.get("examples"), list) else []
            for example in [*examples, *([node["example"]] if "example" in node else [])]:
                valid(document, {key: value for key, value in schema.items() if key not in {"example", "examples"}}, example)
                checked += 1
            for key, one in node.items():
                if key not in {"example", "examples"}:
                    walk(one)

    walk(document)
    assert checked > 100


def test_whatever_the_deadline_and_the_body_are_the_answer_is_declared(document, database, tmp_path):
    async def never_ending():
        yield b"{"
        await asyncio.Event().wait()

    app = whole_app(database, tmp_path, max_body_bytes=1000, max_batch_body_bytes=1000)
    late, malformed, long = {"headers": {"x-request-deadline": "0"}}, {"headers": {"x-request-deadline": "soon"}}, {"content": b"x" * 1001}
    found = statuses(document, app, {}, malformed, late)
    assert {tuple(one[1:]) for one in found.values()} == {(400, 504)}
    assert {status for one in found.values() for status in one[:1]} == {200, 404, 409}  # nothing is tried, no job is there

    bodies = statuses(document, app, long, wanted=lambda _, method: method.upper() not in BODILESS)
    assert {tuple(one) for one in bodies.values()} == {(413,)}

    async def slow():
        async with in_process(app) as client:
            for path, method, _ in operations_of(document):
                if method.upper() not in BODILESS:
                    answer = await ask(client, path, method, content=never_ending(), headers={"x-request-deadline": "0.001"})
                    assert conforming(document, path, method, answer) == 408

    asyncio.run(slow())


def test_who_has_no_key_or_the_wrong_one_gets_what_is_declared(document, database, tmp_path):
    made = keyed(tmp_path / "api.json")
    open_paths = {"/health", "/ready", "/metrics"}
    sent = [{}, *({"headers": {"x-api-key": key}} for key in ("cco_wrong", made.front, made.desk, made.admin))]
    found = statuses(document, whole_app(database, tmp_path, keys=made.keys), *sent, wanted=lambda path, _: path not in open_paths)
    assert {tuple(one[:2]) for one in found.values()} == {(401, 401)}
    assert all(403 in one[2:4] and not {401, 403} & {one[4]} for one in found.values())
    assert all(not {"401", "403"} & set(document["paths"][path]["get"]["responses"]) for path in open_paths)


def test_who_asks_too_often_or_when_all_places_are_taken_gets_what_is_declared(document, database, tmp_path):
    def wanted(path, _):
        return path.startswith("/api/v1/classify")

    limited = statuses(document, whole_app(database, tmp_path, rate_limit_requests_per_minute=1), {}, {}, wanted=wanted)
    assert list(limited.values()) == [[200, 429], [429, 429]]

    async def crowded():
        hanging = Hanging()
        app = whole_app(database, tmp_path, upstream=Upstream(hanging), max_concurrent_requests=1, queue_size=0)
        async with in_process(app) as client:
            first = asyncio.create_task(ask(client, "/api/v1/classify", "post", headers={"x-request-deadline": "5"}))
            while not hanging.asked:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
            shed = [conforming(document, path, "post", await ask(client, path, "post")) for path in BODIES if wanted(path, "post")]
            first.cancel()
        return shed

    assert asyncio.run(crowded()) == [503, 503]


def test_while_it_starts_and_when_something_of_ours_breaks_the_answer_is_declared(document, database, tmp_path):
    app = whole_app(database, tmp_path)
    starting = statuses(document, app, {}, started=False)
    assert {status for (_, path), (status,) in starting.items() if path not in {"/health", "/metrics"}} == {503}
    app.state.orchestrator = app.state.queue = object()
    broken = statuses(document, app, {}, started=False)
    api = {path: status for (_, path), (status,) in broken.items() if path.startswith("/api/")}
    assert api.pop("/api/v1/classify/batch") == 200  # each row has its own error
    assert set(api.values()) == {500}


def test_what_was_queued_and_what_is_replayed_is_as_declared(document, database, tmp_path):
    async def main():
        async with in_process(whole_app(database, tmp_path)) as client:
            seen = []
            for path in ("/api/v1/classify", "/api/v1/classify/batch"):
                for mode in ("sync", "async"):
                    for _ in range(2):
                        answer = await ask(client, path, "post", params={"mode": mode}, headers={"idempotency-key": path + mode})
                        seen.append((conforming(document, path, "post", answer), answer.headers.get("idempotency-replayed")))
                        if "location" in answer.headers:
                            job = await client.get(answer.headers["location"])
                            assert conforming(document, "/api/v1/jobs/{job_id}", "get", job) == 200
            assert seen == [(200, None), (200, "true"), (202, None), (202, "true")] * 2

    asyncio.run(main())


@pytest.mark.parametrize("with_keys", [False, True], ids=["keys off", "keys on"])
def test_requests_made_up_from_the_document_never_give_a_5xx_and_every_answer_is_as_declared(document, database, tmp_path, with_keys):
    made = keyed(tmp_path / "api.json") if with_keys else None
    paths = {  # the session has the key; who has none is a test of its own
        path: {method: {name: value for name, value in one.items() if name != "security"} for method, one in item.items()}
        for path, item in document["paths"].items()
    }
    schema = schemathesis.openapi.from_dict(document | {"paths": paths})
    each = -(-CASES // 2 // len(operations_of(document)) // len(GenerationMode))
    # What a schema cannot say is refused with 422: a message too long for its channel, a key used before, a host not to be called.
    skipped, too_late = [positive_data_acceptance, ignored_auth], [negative_data_rejection, not_a_server_error]
    load_all_checks()
    seen, failures = Counter(), defaultdict(list)
    print(f"seed {SEED}, {each} cases of each operation and mode")

    def run(operation, mode, session, url):
        @seed(SEED)
        @settings(max_examples=each, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(case=operation.as_strategy(generation_mode=mode))
        def make_up(case):
            response = case.call(base_url=url, session=session)
            seen[response.status_code] += 1
            late = response.status_code in {408, 504} and hurried(case.headers)
            try:
                case.validate_response(response, excluded_checks=skipped + too_late * late)
            except* AssertionError as group:
                for one in group.exceptions:
                    failures[operation.label, mode.value, type(one).__name__].append(f"{one}: {case.as_curl_command()}")

        make_up()

    with on_a_socket(whole_app(database, tmp_path, keys=made and made.keys)) as port, requests.Session() as session:
        if made:
            session.headers["X-API-Key"] = made.admin
        for result in schema.get_all_operations():
            for mode in GenerationMode:
                run(result.ok(), mode, session, f"http://127.0.0.1:{port}")
    print(f"{sum(seen.values())} requests: {dict(sorted(seen.items()))}")
    assert not failures, "\n\n".join(f"{len(found)} times {what}, first: {found[0]}" for what, found in failures.items())
    assert sum(seen.values()) >= CASES // 2
    assert {200, 400, 404, 422} <= set(seen)
    assert not any(status >= 500 and status != 504 for status in seen)
