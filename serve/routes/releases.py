"""Which release serves, over HTTP: look, switch, go back, and try a challenger.

Scope ``admin`` is asked for in front of the routes, by path. A change holds for every process on the database, within seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from orchestrator.engine import Orchestrator
from orchestrator.errors import CatalogueError, ConflictError, ReleaseError
from orchestrator.rollout.plan import Challenge, Mode, Plan
from orchestrator.rollout.releases import Releases
from orchestrator.rollout.shelf import Title, UnknownReleaseError
from orchestrator.schema import Share
from serve.declared import problems

ReleaseId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]  # what orchestrator.release makes


class Active(BaseModel):
    """The release that is to serve."""

    model_config = ConfigDict(extra="forbid")

    release: ReleaseId = Field(examples=["0123456789ab"])


class Tried(Active):
    """The release that is to be tried, how, and on which share of the traffic."""

    mode: Mode = Mode.SHADOW
    share: Share = Field(examples=[0.1])


class Trial(BaseModel):
    """What is tried. ``running`` is false where it could not be opened here, or its guard has just stopped it."""

    release: str
    mode: Mode
    share: float
    running: bool
    compared: int = Field(description="messages that it and the active release were both asked about, in all processes")
    agreed: int = Field(description="of these, given the same category and routed alike")
    dropped: int = Field(description="comparisons left out in this process since it started, for want of room")


class Overview(BaseModel):
    """What was decided for all processes, and what this one does. They differ for some seconds, or where there is a ``problem``."""

    active: str
    previous: str | None
    challenger: Trial | None
    serving: str = Field(description="what this process answers with")
    packaged: str = Field(description="the champion this process was deployed with; a deployment with another begins anew with that")
    problem: str | None
    known: list[Title]


def releases_router() -> APIRouter:
    """Return the routes of the releases."""
    always = problems(409, 503)
    router = APIRouter(prefix="/api/v1/releases", tags=["releases"], responses=always)
    change = problems(404, 422)

    @router.get("")
    async def look(request: Request) -> Overview:
        """Say what serves, what is tried and how often it agrees, and which releases there are."""
        return await _overview(_releases(request))

    @router.post("/active", responses=change)
    async def switch(body: Active, request: Request) -> Overview:
        """Let another release serve. Requests under way end on the one they began with."""
        releases = _releases(request)
        return await _done(releases, releases.switch(body.release, _who(request)))

    @router.post("/rollback", responses=change)
    async def rollback(request: Request) -> Overview:
        """Let the release before serve again, without a challenger. A second rollback undoes the first."""
        releases = _releases(request)
        return await _done(releases, releases.rollback(_who(request)))

    @router.put("/challenger", responses=change)
    async def try_out(body: Tried, request: Request) -> Overview:
        """Try a release beside the active one: in its shadow, or as a canary for a share of the clients."""
        releases = _releases(request)
        return await _done(releases, releases.try_out(Challenge(**body.model_dump()), _who(request)))

    @router.delete("/challenger", responses=change)
    async def stop_trying(request: Request) -> Overview:
        """Stop trying the challenger."""
        releases = _releases(request)
        return await _done(releases, releases.stop_trying(_who(request)))

    return router


async def _done(releases: Releases, change: Awaitable[Plan]) -> Overview:
    """Make a change and return how it is then. Who may change releases is told why one is refused."""
    try:
        await change
    except UnknownReleaseError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
    except ConflictError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from None
    except (ReleaseError, CatalogueError) as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"the release is refused: {error}") from None
    return await _overview(releases)


async def _overview(releases: Releases) -> Overview:
    plan, challenge = releases.plan, releases.challenge
    found = await releases.agreement()
    trial = None
    if challenge and found:
        running = releases.trial is not None and releases.trial.stopped is None
        trial = Trial(
            **challenge.model_dump(), running=running, compared=found.compared, agreed=found.agreed, dropped=releases.shadow.dropped
        )
    return Overview(
        active=plan.active,
        previous=plan.previous,
        challenger=trial,
        serving=releases.active.release,
        packaged=releases.champion,
        problem=releases.problem,
        known=await asyncio.to_thread(releases.shelf.titles),
    )


def _who(request: Request) -> str:
    client: str = request.state.client.id
    return client


def _releases(request: Request) -> Releases:
    orchestrator: Orchestrator | None = request.app.state.orchestrator
    if orchestrator is None:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "starting or draining", headers={"Retry-After": "1"})
    if orchestrator.releases is None:
        raise HTTPException(HTTPStatus.CONFLICT, "this process serves one release and cannot switch")
    return orchestrator.releases
