"""Look at what classifies: the champion, its LLM, and what would be answered without it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from orchestrator.catalogue import Model, find_model
from orchestrator.connect import open_classifier
from orchestrator.doctor.finding import Finding, fail, looked_at, ok, warn, without_secrets
from orchestrator.errors import OrchestratorError
from orchestrator.llm import Reply, Request, attempt, openai_client, openai_key
from orchestrator.release import Release, load_release
from orchestrator.schema import Failure, FailureKind, Message

PATIENCE_S = 5.0
DANGER = "my throat is closing up and I have hives after the new tablets"
HARMLESS = "what are your opening hours?"


def check_models(environment: Mapping[str, str]) -> list[Finding]:
    """Look at the champion and its LLM; no message is sent to it."""
    try:
        release = load_release()
    except OrchestratorError as error:
        return [fail("champion", str(error), "nothing can be classified until it is back")]
    manifest = release.manifest
    return [
        ok("champion", f"release {manifest.id}: {manifest.candidate}, promoted {manifest.promoted_at}; every file as it was promoted"),
        looked_at("LLM", lambda: _llm(release, environment)),
        looked_at("without the LLM", lambda: _without(release)),
    ]


def _llm(release: Release, environment: Mapping[str, str]) -> Finding:
    model = find_model(release.manifest.model)
    if base_url := environment.get("LLM_BASE_URL"):
        return asyncio.run(_served(model, base_url, environment.get("LLM_API_KEY", "none")))
    if model.provider == "embedded":
        return _embedded(model, release.manifest.model_digest)
    return asyncio.run(_served(model, environment.get("OPENAI_BASE_URL"), openai_key(environment, model.id)))


def _embedded(model: Model, promoted_digest: str) -> Finding:
    told = f"{model.id}, embedded"
    if find_spec("xllamacpp") is None:
        return fail("LLM", f"{told}: xllamacpp is not installed", "install the `embedded` extra, or set LLM_BASE_URL to a server")
    if model.digest() != promoted_digest:
        advice = "answers are not calibrated: put the weights back that were promoted, or promote with the present ones"
        return warn("LLM", f"{told}: its weights are not those that were promoted", advice)
    return ok("LLM", f"{told}: its weights are those that were promoted")


async def _served(model: Model, base_url: str | None, key: str) -> Finding:
    """Ask a server for its models: that costs nothing, and shows whether it is there, takes the key and has the model."""
    told = f"{model.api_id} at {without_secrets(base_url) if base_url else 'the API of OpenAI'}"
    if base_url and not base_url.startswith(("http://", "https://")):
        return fail("LLM", "the server's address is no URL", "write LLM_BASE_URL as http://HOST:PORT/v1")
    client = openai_client(base_url=base_url, api_key=key, connections=1)
    try:
        page: Any = await attempt(client.models.list(), deadline_s=PATIENCE_S)
    finally:
        await client.close()
    if not isinstance(page, Failure):
        names = {one.id for one in page.data}
        if model.api_id in names:
            return ok("LLM", f"{told} answers")
        return fail("LLM", f"{told}: the server answers, but has no such model", "correct `served_as` in orchestrator/models.yaml")
    status = re.match(r"HTTP (\d+)", page.detail)
    if status and status[1] in {"401", "403"}:
        return fail("LLM", f"{told}: the key is refused (HTTP {status[1]})", "correct LLM_API_KEY, or OPENAI_API_KEY for OpenAI")
    if status and status[1] in {"404", "405", "501"}:
        return warn(
            "LLM", f"{told} answers, but does not tell its models (HTTP {status[1]})", "classify a message to see that it has this one"
        )
    why = f"HTTP {status[1]}" if status else page.kind.value
    return fail("LLM", f"{told} does not answer ({why})", "until it does, all answers are degraded: check LLM_BASE_URL and the server")


class _Down:
    """The LLM of a day on which it does not answer."""

    async def __call__(self, request: Request, /) -> Reply | Failure:  # noqa: ARG002  # the seam's signature
        """Fail."""
        return Failure(kind=FailureKind.CONNECTION, detail="nobody was asked")


def _without(release: Release) -> Finding:
    classifier = open_classifier(release, _Down())

    async def both() -> tuple[Any, Any]:
        return await classifier(Message(text=DANGER)), await classifier(Message(text=HARMLESS))

    danger, harmless = asyncio.run(both())
    shown = "; ".join(
        f"{text!r} is {one.decision.category.value} ({one.decision.confidence:.2f}"
        f"{', to a person' if one.decision.review_required else ''}{', red flags ' + ', '.join(one.red_flags) if one.red_flags else ''})"
        for text, one in ((DANGER, danger), (HARMLESS, harmless))
    )
    told = f"the local classifier and the red flags answer, degraded: {shown}"
    if danger.degraded and danger.decision.routed_as_safety:
        return ok("without the LLM", told)
    return fail("without the LLM", told, "a safety message would be missed: fit the thresholds again (`dvc repro`) and promote")
