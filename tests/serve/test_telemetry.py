"""What the service counts, times and traces, and how it is told."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from quoting_llm import collector
from sqlalchemy import insert, update
from structlog.contextvars import bound_contextvars, get_contextvars

from orchestrator.engine import Orchestrator
from orchestrator.errors import ConflictError, StoreUnavailableError
from orchestrator.schema import Category, Failure, FailureKind, Message, Usage
from orchestrator.store import figures
from orchestrator.store.tables import Job, OutboxMessage
from orchestrator.testing_outcomes import make_outcome
from serve import problems
from serve.app import create_app
from serve.client import ANYBODY
from serve.entry import CLASSIFY, Entry
from serve.settings import Settings
from serve.telemetry import Telemetry, processes
from serve.telemetry.commits import timed
from serve.telemetry.crowd import Crowd
from serve.telemetry.queues import PATIENCE_S
from serve.telemetry.routes import Routes
from serve.telemetry.timing import Served, current, server_timing
from serve.telemetry.traces import CLOSE_WITHIN_S, Tracing, parts

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def scrape(telemetry, accept=""):
    """All samples as ``{(name, labels): value}``."""
    body, _ = asyncio.run(telemetry.scrape(accept))
    return samples(body)


def samples(body):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def outcome(request_id="id-1", *, failure=None, latency_s=0.2, category=Category.SAFETY_COMPLIANCE):
    made = make_outcome(request_id, category)
    update = {"usage": Usage(latency_s=latency_s), "degraded": failure is not None}
    update["failure"] = failure and Failure(kind=failure, detail="scripted")
    return made.model_copy(update={"processing_time_ms": 250.0, "classification": made.classification.model_copy(update=update)})


def test_the_contract_s_names_are_there_before_anything_happens():
    told = scrape(Telemetry())
    assert told["classification_requests_total", "200"] == 0
    assert told["classification_latency_seconds_count",] == told["classification_confidence_count",] == 0
    assert {told["classification_category_total", category.value] for category in Category} == {0}
    assert {told["llm_errors_total", kind.value] for kind in FailureKind} == {0}
    assert told["llm_breaker_state", "closed"] == 1
    assert told["process_start_time_seconds",] > 0


def test_an_outcome_is_counted_and_a_repeated_answer_decides_nothing():
    telemetry = Telemetry()
    telemetry.observe(outcome())
    telemetry.observe(outcome(failure=FailureKind.TIMEOUT, latency_s=0.0))
    response = telemetry.observe(outcome("before"), {}, replayed=True)
    told = scrape(telemetry)
    assert response.request_id == "before"
    assert told["classification_category_total", "safety_compliance"] == told["classification_latency_seconds_count",] == 2
    assert told["llm_errors_total", "timeout"] == told["classification_degraded_total",] == 1
    assert told["llm_latency_seconds_count",] == 1, "a call that failed has no latency"
    assert told["classification_replayed_total",] == 1


def test_what_the_hooks_are_told_is_counted():
    telemetry = Telemetry()
    telemetry.shed("queue_full")
    telemetry.rate_limited()
    telemetry.refused("unknown_key")
    telemetry.retried()
    telemetry.hedged()
    telemetry.limits_lost()
    telemetry.committed(0.003)
    telemetry.compared(agree=True)
    telemetry.compared(agree=False)
    telemetry.breaker_changed("open")
    telemetry.serving("old", "c1")
    telemetry.serving("new", "c2")
    told = scrape(telemetry)
    for name in (
        ("requests_shed_total", "queue_full"), ("requests_rate_limited_total",), ("auth_refused_total", "unknown_key"),
        ("llm_retries_total",),
        ("llm_hedges_total",), ("rate_limit_fallbacks_total",), ("store_commit_seconds_count",), ("shadow_comparisons_total", "true"),
        ("shadow_comparisons_total", "false"), ("llm_breaker_state", "open"), ("llm_breaker_changes_total", "open"),
        ("release_info", "c2", "champion", "new"),
    ):  # fmt: skip
        assert told[name] == 1, name
    assert told["llm_breaker_state", "closed"] == told["release_info", "c1", "champion", "old"] == 0


def test_who_accepts_openmetrics_gets_exemplars_with_the_request_id():
    telemetry = Telemetry()
    telemetry.observe(outcome("id-7"))
    plain, plain_type = asyncio.run(telemetry.scrape("text/plain"))
    rich, rich_type = asyncio.run(telemetry.scrape(OPENMETRICS))
    assert b"id-7" not in plain
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert rich.count(b'# {request_id="id-7"}') >= 4
    assert rich_type.startswith("application/openmetrics-text; version=1.0.0")


def test_what_is_watched_is_read_at_each_scrape_and_must_be_declared():
    telemetry, places = Telemetry(), [3, 5]
    telemetry.watch("admission_in_use", lambda: places.pop(0))
    assert [scrape(telemetry)["admission_in_use",] for _ in range(2)] == [3, 5]
    with pytest.raises(KeyError, match="WATCHED"):
        telemetry.watch("typo", lambda: 1)


# --- the store's queues


def test_what_waits_in_the_store_is_counted_by_status_and_severity(ledger):
    for number, severity in enumerate(("urgent", "urgent", "routine")):
        ledger.record(Message(text="x"), make_outcome(f"id-{number}", severity=severity))
    now = ledger.clock()
    job = {"status": "queued", "rank": 1, "client": "c", "body_hash": "", "run_after": now, "attempts": 0}
    with ledger.engine.begin() as connection:
        dead = {"status": "dead", "last_error": "HTTP 500"}
        connection.execute(update(OutboxMessage).where(OutboxMessage.request_id == "id-0").values(dead))
        connection.execute(update(OutboxMessage).where(OutboxMessage.request_id == "id-1").values(dead | {"last_error": "erased"}))
        connection.execute(insert(Job), [job | {"id": str(age), "created_at": now - timedelta(seconds=age)} for age in (10, 90)])
        connection.execute(
            insert(Job).values(job | {"id": "done", "status": "done", "created_at": now - timedelta(days=1), "finished_at": now})
        )
    counted = figures.count(ledger.engine, now + timedelta(hours=1))
    assert counted.outbox["dead"] == 1, "what was erased is no dead letter: nothing is left to tell"
    assert counted.outbox["pending"] >= 1
    assert counted.escalations == {"emergency": 0, "urgent": 2, "routine": 1}
    assert counted.overdue["urgent"] == 2
    assert counted.jobs == {"queued": 2, "running": 0, "failed": 0}
    assert counted.jobs_oldest_s == pytest.approx(3690, abs=1)
    assert counted.outbox_oldest_s == pytest.approx(3600, abs=60)


FIGURES = figures.Figures(
    outbox={"pending": 2, "dead": 1}, outbox_oldest_s=4.0, escalations={"urgent": 3}, overdue={"urgent": 1}, jobs={}, jobs_oldest_s=0.0
)


def test_the_store_is_asked_once_for_scrapes_that_come_close_together():
    telemetry, asked = Telemetry(), []
    telemetry.watch_store(lambda: asked.append(threading.current_thread()) or FIGURES)
    told = [scrape(telemetry) for _ in range(3)][-1]
    assert len(asked) == 1
    assert asked[0] is not threading.main_thread()
    assert told["store_up",] == told["outbox_messages", "dead"] == told["escalations_overdue", "urgent"] == 1


def test_a_store_that_fails_is_told_and_fails_no_scrape():
    def fail():
        raise StoreUnavailableError("gone")

    telemetry = Telemetry()
    telemetry.watch_store(fail)
    told = scrape(telemetry)
    assert told["store_up",] == 0
    assert not [name for name, *_ in told if name == "outbox_messages"], "old figures would look well"


def test_a_store_that_hangs_holds_up_a_scrape_no_longer_than_two_seconds_and_the_loop_not_at_all():
    telemetry, free, ticks = Telemetry(), threading.Event(), []
    telemetry.watch_store(lambda: free.wait(60) and FIGURES)

    async def both():
        scraping = asyncio.create_task(telemetry.scrape())
        while not scraping.done():
            ticks.append(time.monotonic())
            await asyncio.sleep(0.05)
        free.set()
        return samples((await scraping)[0])

    started = time.monotonic()
    assert asyncio.run(both())["store_up",] == 0
    assert ticks[-1] - started < PATIENCE_S + 2
    assert len(ticks) > 5


def test_a_commit_is_timed_and_told_to_its_request(sqlite):
    took, timings = [], {}
    orchestrator = timed(Orchestrator("r", None, {}, sqlite), took.append)
    current.set(timings)
    orchestrator.ledger.submit(Message(text="x"), make_outcome("id-1")).result()
    orchestrator.ledger.ping()
    assert timings["store"] == took[0] > 0
    with pytest.raises(ConflictError):
        orchestrator.ledger.submit(Message(text="x"), make_outcome("id-1")).result()
    assert len(took) == 1, "what failed was no commit"


# --- several processes

WORKER = """
import asyncio, sys
from serve.telemetry import Telemetry
telemetry = Telemetry()
telemetry.began()
telemetry.classified(200)
telemetry.serving("r1", "c")
telemetry.watch("admission_in_use", lambda: 2)
telemetry.refresh()
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(telemetry.scrape())[0].decode(), flush=True)
"""


def test_whichever_process_is_scraped_tells_the_sum_and_what_was_under_way_ends_with_its_process():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with processes.shared_metrics(2):
        first, second = (subprocess.Popen([sys.executable, "-c", WORKER], env=dict(os.environ), **pipes) for _ in range(2))
        assert [process.stdout.readline() for process in (first, second)] == ["ready\n"] * 2
        together = samples(first.communicate("\n")[0].encode())
        alone = samples(second.communicate("\n")[0].encode())
    assert together["classification_requests_total", "200"] == alone["classification_requests_total", "200"] == 2
    assert (together["http_requests_in_flight",], alone["http_requests_in_flight",]) == (2, 1)
    assert (together["admission_in_use",], alone["admission_in_use",]) == (4, 2)
    assert together["llm_breaker_state", "closed"] == together["release_info", "c", "champion", "r1"] == 2
    assert len([name for name, *_ in together if name == "process_resident_memory_bytes"]) == 2
    assert processes.VARIABLE not in os.environ


# --- each request


@pytest.fixture
def served():
    """A small app behind the entry: a client of it, its telemetry, the spans it made."""
    app, telemetry, exporter = FastAPI(), Telemetry(), InMemorySpanExporter()
    problems.install(app)

    @app.post(CLASSIFY)
    async def classify(request: Request):
        request.scope["state"]["client"] = ANYBODY
        request.scope["state"]["timings"]["queue"] = 0.001
        return telemetry.observe(outcome(request.state.request_id), request.scope["state"])

    @app.get("/jobs/{job_id}")
    async def job(job_id: str):
        raise ValueError(f"of {job_id}")

    app.add_middleware(Entry, telemetry=telemetry, tracing=Tracing(SimpleSpanProcessor(exporter), "r1"))

    def ask(method, path, **more):
        async def once():
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    ask.telemetry, ask.exporter = telemetry, exporter
    return ask


def test_requests_are_counted_by_the_template_of_their_route_and_never_by_their_path(served):
    for method, path in (("POST", CLASSIFY), ("GET", "/jobs/jane@example.org"), ("GET", "/jane@example.org"), ("BREW", "/health")):
        served(method, path)
    told = scrape(served.telemetry)
    assert told["classification_requests_total", "200"] == 1
    counted = {name[1:] for name in told if name[0] == "http_requests_total"}
    assert counted == {tuple(sorted(labels)) for labels in (
        ("POST", CLASSIFY, "200"), ("GET", "/jobs/{job_id}", "500"), ("GET", "unknown", "404"), ("OTHER", "unknown", "404"))}  # fmt: skip
    assert told["http_requests_in_flight",] == 0
    assert "jane" not in str(told)


def test_every_route_of_the_service_is_known_by_its_template_the_pages_and_mounts_too():
    app = create_app(lambda: None, Settings())
    app.mount("/files", FastAPI())
    names = Routes(app)
    paths = {
        CLASSIFY: CLASSIFY, "/api/v1/jobs/7": "/api/v1/jobs/{job_id}", "/review": "/review", "/files/a/b": "/files",
        "/review/items/7": "/review/items/{request_id}", "/docs": "/docs", "/review/jane@example.org": "unknown", "/": "unknown",
    }  # fmt: skip
    assert {path: names(path) for path in paths} == paths


def test_what_nobody_handles_is_answered_with_a_problem_that_says_nothing_of_it(served, caplog):
    response = served("GET", "/jobs/secret")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["the request could not be handled"]


def test_an_answer_tells_its_timings_and_forbids_what_pages_need_not(served):
    response = served("POST", CLASSIFY)
    told = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert list(told) == ["queue", "llm", "total"]
    assert (told["queue"], told["llm"]) == ("1.0", "200.0")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "server-timing" not in served("GET", "/jobs/1").headers


def test_server_timing_is_in_milliseconds():
    assert server_timing({"llm": 0.2124, "store": 0.0031, "handle": 1}, 0.217) == "llm;dur=212.4, store;dur=3.1, total;dur=217.0"


def test_one_access_line_a_request_with_what_became_known(served, caplog):
    caplog.set_level("INFO", logger="serve.access")
    response = served("POST", f"{CLASSIFY}?q=secret")
    (line,) = [record.__dict__ for record in caplog.records if record.name == "serve.access"]
    shown = {name: line[name] for name in ("method", "route", "status", "client", "category", "degraded", "llm_ms", "queue_ms")}
    assert shown == {
        "method": "POST", "route": CLASSIFY, "status": 200, "client": "anybody", "category": "safety_compliance", "degraded": False,
        "llm_ms": 200.0, "queue_ms": 1.0,
    }  # fmt: skip
    assert line["duration_ms"] > 0
    assert response.headers["x-request-id"]


# --- traces


def test_a_request_is_a_span_below_the_client_s_with_its_parts_below_it(served):
    headers = {"traceparent": PARENT, "tracestate": "vendor=jane@example.org"}
    response = served("POST", CLASSIFY, headers=headers)
    *children, span = served.exporter.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}") == (f"POST {CLASSIFY}", PARENT.split("-")[1])
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert span.attributes["request_id"] == response.headers["x-request-id"]
    assert span.attributes["category"] == "safety_compliance"
    assert [child.name for child in children] == ["queue", "llm", "workflow"]
    for child in children:
        assert child.parent.span_id == span.context.span_id
        assert span.start_time <= child.start_time <= child.end_time <= span.end_time
    assert "jane" not in json.dumps([json.loads(one.to_json()) for one in (span, *children)])


def test_the_parts_of_a_request_follow_one_another():
    timings = {"queue": 0.1, "handle": 1.0, "llm": 0.6, "store": 0.1}
    served = Served("POST", CLASSIFY, 200, "id", started=10.0, ended=11.3, handled_at=11.2, timings=timings)
    assert [(name, round(begin, 3), round(end, 3)) for name, begin, end in parts(served)] == [
        ("queue", 10.0, 10.1), ("llm", 10.2, 10.8), ("workflow", 10.8, 11.1), ("store", 11.1, 11.2)
    ]  # fmt: skip


def test_a_collector_gets_the_spans_over_otlp():
    with collector() as (url, received):
        tracing = Tracing.to(f"{url}/", "r1")
        tracing.record(Served("GET", "/health", 200, "id-9", started=1.0, ended=2.0))
        tracing.close()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"GET /health" in body
    assert b"id-9" in body


def test_a_collector_that_is_away_holds_up_no_request_and_no_shutdown():
    tracing = Tracing.to("http://127.0.0.1:9", "r1")  # the discard port: nobody listens
    started = time.monotonic()
    for _ in range(100):
        tracing.record(Served("GET", "/health", 200, "id", started=1.0, ended=2.0))
    tracing.close()
    assert time.monotonic() - started < CLOSE_WITHIN_S + 3


def test_of_a_crowd_the_first_is_told_by_itself_and_the_others_are_counted_without_its_id(monkeypatch, caplog):
    monkeypatch.setattr("serve.telemetry.crowd.EVERY_S", 0.01)
    seen = []

    class Watched(Crowd):
        def tell(self):
            seen.append(get_contextvars())
            super().tell()

    async def main():
        crowd = Watched()
        with bound_contextvars(request_id="the first"):
            assert [crowd.has_own_line() for _ in range(3)] == [True, False, False]
        await asyncio.sleep(0.1)
        assert crowd.has_own_line()
        crowd.tell()

    with caplog.at_level("INFO", "serve.access"):
        asyncio.run(main())
    assert [(line.message, line.count) for line in caplog.records] == [("more requests were shed", 2)]
    assert seen == [{}, {}]
