"""Open what a program needs: the LLM behind a model's name, and the orchestrator around a release."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.batch_api import BatchApi
from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Classifier
from orchestrator.deadline import Punctual
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.errors import CatalogueError
from orchestrator.llm import LLM, OpenAIChat, openai_client, openai_key
from orchestrator.local import embedded_server
from orchestrator.manipulation import manipulations
from orchestrator.prompts import Renderer
from orchestrator.release import Release
from orchestrator.resilience import Resilience, ResilientLLM
from orchestrator.retrying import Retrying
from orchestrator.rollout.plan import Challenge
from orchestrator.rollout.releases import Releases
from orchestrator.rollout.shadow import OnCompared
from orchestrator.rollout.shelf import Shelf
from orchestrator.schema_canary import SchemaCanary
from orchestrator.service.connect_orders import open_orders
from orchestrator.store.ledger import Ledger
from orchestrator.turns import InTurn


@asynccontextmanager
async def open_llm(
    model: Model, environment: Mapping[str, str], *, connections: int = 16, deadline_s: float = 60.0, attempts: int = 3
) -> AsyncIterator[LLM]:
    """Yield the LLM of a model as ``open_chat`` does, with retries."""
    async with open_chat(model, environment, connections=connections, deadline_s=deadline_s) as chat:
        yield Retrying(chat, attempts=attempts)


@asynccontextmanager
async def open_resilient_llm(
    model: Model, environment: Mapping[str, str], how: Resilience, *, connections: int = 100
) -> AsyncIterator[ResilientLLM]:
    """Yield the LLM of a model behind all layers of resilience; ``connections`` messages may ask it at once, each of them hedged.

    Where a canary is wanted it looks in the background: the start waits for nothing.
    """
    async with open_chat(model, environment, connections=connections * (2 if how.hedge_s else 1), deadline_s=how.timeout_s) as chat:
        if not how.canary:
            yield ResilientLLM(chat, how)
            return
        canary = SchemaCanary(chat, model)
        looking = asyncio.create_task(canary.look())
        try:
            yield ResilientLLM(chat, how, canary=canary)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


@asynccontextmanager
async def open_chat(
    model: Model, environment: Mapping[str, str], *, connections: int = 16, deadline_s: float = 60.0
) -> AsyncIterator[OpenAIChat]:
    """Yield the bare LLM of a model: the embedded one, OpenAI, or the server at ``LLM_BASE_URL`` for either.

    Raises ``CatalogueError`` when an OpenAI model has no key.
    """
    async with AsyncExitStack() as stack:
        base_url: str | None
        if model.provider == "embedded" and not environment.get("LLM_BASE_URL"):
            server = embedded_server(model)
            base_url, key = await asyncio.to_thread(server.__enter__), "none"  # loading weights takes seconds: the loop serves on
            stack.push(server)
        else:
            base_url, key = _endpoint(model, environment)
        client = openai_client(base_url=base_url, api_key=key, connections=connections)
        chat = OpenAIChat(client, deadline_s=deadline_s)
        stack.push_async_callback(chat.aclose)
        yield chat


@asynccontextmanager
async def open_batch_api(model: Model, environment: Mapping[str, str]) -> AsyncIterator[BatchApi]:
    """Yield the batch API of a model's provider: OpenAI, or the server at ``LLM_BASE_URL``.

    Raises ``CatalogueError`` when the provider has none for this model, or when there is no key.
    """
    if model.provider != "openai" or model.batch_price is None:
        raise CatalogueError(
            f"model {model.id!r} has no batch API: run it without --batch, or give its `batch_price:` in orchestrator/models.yaml"
        )
    base_url, key = _endpoint(model, environment)
    api = BatchApi(openai_client(base_url=base_url, api_key=key), price_factor=model.batch_price)
    try:
        yield api
    finally:
        await api.aclose()


def open_classifier(release: Release, llm: LLM, *, elsewhere: bool = False) -> Classifier:
    """Return the classifier of a release over an LLM, which has no more time than the message has.

    Where the model is served ``elsewhere`` its weights cannot be looked at: it is taken to be the one that the release was measured on.
    """
    digest = release.manifest.model_digest if elsewhere else None
    return Classifier(
        prompt=release.prompt,
        render=Renderer(release.prompt, find_model(release.manifest.model), release.examples, digest),
        llm=InTurn(Punctual(llm)),
        local=release.local_classifier(),
        tuning=release.manifest.tuning,
    )


class Rollout(NamedTuple):
    """How a service takes part in what is decided about releases while it runs: see ``orchestrator.rollout``."""

    folders: tuple[Path, ...] = ()  # releases beside those of the installation
    challenge: Challenge | None = None  # what is tried until somebody decides otherwise
    on_compared: OnCompared | None = None


@asynccontextmanager
async def open_orchestrator(
    release: Release,
    environment: Mapping[str, str],
    *,
    database_url: str,
    resilience: Resilience = Resilience(),  # noqa: B008  # a frozen record
    connections: int = 100,
    rollout: Rollout | None = None,
) -> AsyncIterator[Orchestrator]:
    """Yield the orchestrator of a release, its LLM and its ledger open; all are closed afterwards.

    With ``rollout`` the release is where it starts from: it follows what is decided for all processes on the same database.
    """

    def opening(one: Release) -> AbstractAsyncContextManager[Classifier]:
        model = find_model(one.manifest.model)
        llm = open_resilient_llm(model, environment, resilience, connections=connections)
        return open_released(one, llm, elsewhere=bool(environment.get("LLM_BASE_URL")))

    async with AsyncExitStack() as stack:
        orders = open_orders(environment)
        stack.callback(orders.close)
        ledger = await asyncio.to_thread(Ledger.at, database_url, environment)
        stack.callback(ledger.close)
        _ = ledger.keys  # missing keys stop the start, not the first safety message
        workflows = await asyncio.to_thread(standard_workflows, orders)
        await asyncio.to_thread(manipulations, "")  # its phrases are compiled now, not for the first message
        if rollout is None:
            classifier = await stack.enter_async_context(opening(release))
            yield Orchestrator(release.manifest.id, classifier, workflows, ledger)
            return
        following = Releases(
            release.manifest.id,
            Shelf.beside(ledger.data_dir, *rollout.folders),
            opening,
            ledger,
            configured=rollout.challenge,
            deadline_s=resilience.timeout_s,
            on_compared=rollout.on_compared,
        )
        releases = await stack.enter_async_context(following)
        yield Orchestrator(release.manifest.id, releases.active.classifier, workflows, ledger, releases)


@asynccontextmanager
async def open_released(release: Release, llm: AbstractAsyncContextManager[LLM], *, elsewhere: bool = False) -> AsyncIterator[Classifier]:
    """Yield the classifier of a release over an LLM of its own, which is closed with it. What takes long does not hold others up."""
    async with llm as opened:
        yield await asyncio.to_thread(open_classifier, release, opened, elsewhere=elsewhere)


def _endpoint(model: Model, environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Return base URL and key of a model served elsewhere."""
    if base_url := environment.get("LLM_BASE_URL"):
        return base_url, environment.get("LLM_API_KEY", "none")
    return environment.get("OPENAI_BASE_URL"), openai_key(environment, model.id)
