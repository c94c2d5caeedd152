"""The seam to every language model: ``LLM`` is ``Request -> Reply | Failure``.

Caching, deadlines and retries are LLMs that wrap an LLM. The adapter for the OpenAI protocol is here
too, and is the only place that imports ``openai``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from orchestrator.schema import Failure, FailureKind, Record, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI

MISSING_LOGPROB = -9999.0  # what the OpenAI API sends for "not among the most likely"


class Turn(Record):
    """One chat turn."""

    role: str
    content: str


class Request(Record):
    """Everything that determines a reply. Two equal requests may share one."""

    model: str
    model_digest: str  # weights or snapshot behind ``model``: a changed model must not hit the cache
    turns: tuple[Turn, ...]
    answer_schema: dict[str, Any]
    max_tokens: int
    temperature: float | None = 0.0
    top_logprobs: int = 0  # 0 asks for no log-probabilities
    extra: dict[str, Any] = Field(default_factory=dict)

    def key(self) -> str:
        """Return the SHA-256 of the whole request, schema and model digest included."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


class Token(Record):
    """One generated token with its most likely alternatives as ``(text, log-probability)``."""

    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


class Reply(Record):
    """What a model said. ``tokens`` is empty when no log-probabilities were asked for or given."""

    text: str
    tokens: tuple[Token, ...] = ()
    usage: Usage = Usage()


class LLM(Protocol):
    """Anything that answers a request. It returns failures; it raises only for our own bugs."""

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        ...


class OpenAIChat:
    """An LLM behind the OpenAI chat-completions protocol: OpenAI itself or a local server.

    ``client`` must have its own retries switched off: there is one retry layer and it is not there.
    The client's timeout is no deadline (a dripping server outlives it), so the whole call is bounded
    by ``deadline_s`` seconds.
    """

    def __init__(self, client: AsyncOpenAI, *, deadline_s: float = 60.0) -> None:
        """Answer through ``client``, each call within ``deadline_s`` seconds."""
        self._client = client
        self._deadline_s = deadline_s

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Send one request and return the reply, or the failure in its place."""
        import openai

        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline_s):
                completion = await self._client.chat.completions.create(**_arguments(request))
        except (TimeoutError, openai.APITimeoutError):
            return Failure(kind=FailureKind.TIMEOUT, detail=f"no reply within {self._deadline_s:g} s")
        except openai.APIConnectionError as error:
            return Failure(kind=FailureKind.CONNECTION, detail=str(error.__cause__ or error)[:200])
        except openai.APIStatusError as error:
            return _failure_of_status(error)
        except (openai.OpenAIError, ValueError) as error:  # ValueError: a 200 whose body is not JSON
            return Failure(kind=FailureKind.SERVER, detail=f"{type(error).__name__}: {error}"[:200])
        return _reply(completion, latency_s=time.perf_counter() - started)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def openai_client(*, base_url: str | None, api_key: str, connections: int = 16) -> AsyncOpenAI:
    """Make a client without retries whose pool holds ``connections`` connections."""
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits),
    )


def _arguments(request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.turns],
        "max_completion_tokens": request.max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "classification", "strict": True, "schema": request.answer_schema},
        },
        **request.extra,
    }
    if request.temperature is not None:
        arguments["temperature"] = request.temperature
    if request.top_logprobs:
        arguments |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return arguments


def _failure_of_status(error: Any) -> Failure:
    detail = f"HTTP {error.status_code}: {error.message}"[:200]
    if error.status_code == 429:
        kind = FailureKind.QUOTA if error.code == "insufficient_quota" else FailureKind.RATE_LIMITED
    elif error.status_code >= 500:
        kind = FailureKind.SERVER
    else:
        kind = FailureKind.REJECTED
    return Failure(kind=kind, detail=detail)


def _reply(completion: Any, *, latency_s: float) -> Reply | Failure:
    if not getattr(completion, "choices", None):
        return Failure(kind=FailureKind.SERVER, detail="the reply holds no choice")
    choice = completion.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        detail = (choice.message.refusal or "stopped by the content filter")[:200]
        return Failure(kind=FailureKind.REFUSED, detail=detail)
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        return Failure(kind=FailureKind.TRUNCATED, detail=f"cut at max_tokens: {text[:120]!r}")
    usage = Usage(
        input_tokens=completion.usage.prompt_tokens if completion.usage else 0,
        output_tokens=completion.usage.completion_tokens if completion.usage else 0,
        latency_s=latency_s,
    )
    return Reply(text=text, tokens=_tokens(choice.logprobs), usage=usage)


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    if not logprobs or not logprobs.content:
        return ()
    return tuple(
        Token(
            text=token.token,
            logprob=token.logprob,
            alternatives=tuple(
                (alternative.token, alternative.logprob) for alternative in token.top_logprobs if alternative.logprob > MISSING_LOGPROB
            ),
        )
        for token in logprobs.content
    )


def openai_key(environment: Mapping[str, str], model: str) -> str:
    """Return the API key, or say which variable is missing and what works without one.

    Raises ``CatalogueError`` when ``OPENAI_API_KEY`` is not set.
    """
    from orchestrator.errors import CatalogueError

    key = environment.get("OPENAI_API_KEY", "").strip()
    if not key:
        raise CatalogueError(
            f"model {model!r} needs OPENAI_API_KEY, which is not set. Set it (and OPENAI_BASE_URL for another "
            "server), or work offline on the embedded model: models=[smollm2-135m]"
        )
    return key
