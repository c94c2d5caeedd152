"""``/health``, ``/ready`` and ``/metrics``: what the machines around the service ask it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from orchestrator.engine import Orchestrator
from serve.declared import Responses


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether requests can be served, and what of it is known; what is not known or no problem is left out."""

    status: Literal["ready", "not ready"]
    champion: str | None = Field(description="the release that serves")
    store: str = Field(description="up, or down and why")
    draining: bool
    llm: dict[str, str] | None = Field(None, description="what its breaker thinks of it, and what was found when it was asked at the start")
    release_problem: str | None = None
    api_keys_problem: str | None = None


METRICS = {one: {"schema": {"type": "string"}} for one in ("text/plain", "application/openmetrics-text")}


_log = logging.getLogger(__name__)
PATIENCE_S = 1.5  # a probe gives up after 2 s
_PINGS = ThreadPoolExecutor(1, thread_name_prefix="ping")  # its own: others' threads may all wait for something else


def system_router() -> APIRouter:
    """Return the routes; none of them needs a key, for none tells anything of a message."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Health:
        """Say that the process is alive."""
        return Health(status="ok")

    not_ready: Responses = {503: {"description": "It starts or drains, or the store is down.", "model": Readiness}}

    @router.get("/ready", response_model=Readiness, responses=not_ready)
    async def ready(request: Request) -> JSONResponse:
        """Say whether requests can be served: champion loaded, store up, not draining. A missing LLM only degrades."""
        state = request.app.state
        orchestrator: Orchestrator | None = state.orchestrator
        body: dict[str, Any] = {"champion": None, "store": "down", "draining": state.draining.begun}
        if orchestrator is not None:
            body |= {"champion": orchestrator.serving_release, "store": await _store(orchestrator), "llm": _llm(orchestrator)}
            body |= _problems(request, orchestrator)
        good = body["champion"] is not None and body["store"] == "up" and not body["draining"]
        return JSONResponse({"status": "ready" if good else "not ready", **body}, status_code=200 if good else 503)

    @router.get("/metrics", response_class=Response, responses={200: {"content": METRICS}})
    async def metrics(request: Request) -> Response:
        """Return the metrics in Prometheus' text format, or as OpenMetrics, with exemplars, for who accepts that."""
        body, content_type = await request.app.state.telemetry.scrape(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return router


async def _store(orchestrator: Orchestrator) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().run_in_executor(_PINGS, orchestrator.ledger.ping)
    except Exception as error:  # noqa: BLE001  # whatever the driver raises, the store is down
        return f"down ({type(error).__name__})"
    return "up"


def _llm(orchestrator: Orchestrator) -> dict[str, str]:
    """Return what is known of the LLM: what its breaker thinks of it, and what was found when it was asked at the start."""
    llm = orchestrator.llm
    if llm is None:
        return {}
    return {"breaker": llm.breaker.state.value} | ({"schema": llm.canary.finding.value} if llm.canary else {})


def _problems(request: Request, orchestrator: Orchestrator) -> dict[str, str]:
    """Return what is wrong and does not keep it from answering."""
    keys = request.app.state.keys
    found = {
        "release_problem": orchestrator.releases.problem if orchestrator.releases else None,
        "api_keys_problem": keys.problem if keys else None,
    }
    for name, problem in found.items():
        if problem:
            _log.warning("%s: %s", name, problem)  # the words are for who runs this: they name files and users
    return {name: "see the log" for name, problem in found.items() if problem}
