"""The seam to every language model: ``LLM`` is ``Request -> Reply | Failure``.

Caching, deadlines and retries are LLMs that wrap an LLM. The adapter for the OpenAI protocol is here
too; only this module and ``batch_api`` import ``openai``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import Field

from orchestrator.schema import Failure, FailureKind, Record, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from httpx2 import Request as HttpRequest
    from httpx2 import Response as HttpResponse
    from openai import AsyncOpenAI

T = TypeVar("T")
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
        # The JSON of the whole with sorted keys: "turns" comes last. Most turns are examples, seen before: their JSON is kept.
        rest = json.dumps(self.model_dump(mode="json", exclude={"turns"}), sort_keys=True, ensure_ascii=False)
        turns = ", ".join([_turn_json(turn.role, turn.content) for turn in self.turns])
        canonical = f'{rest[:-1]}, "turns": [{turns}]}}'
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=4096)  # the examples of many prompts
def _turn_json(role: str, content: str) -> str:
    return json.dumps({"content": content, "role": role}, ensure_ascii=False)


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
        self._like: HttpRequest | None = None  # a request that went out, to make others like it

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Send one request and return the reply, or the failure in its place."""
        body = json.dumps(arguments(request)).encode()
        started = time.perf_counter()
        response = await attempt(self._post(body), deadline_s=self._deadline_s)
        latency_s = time.perf_counter() - started
        if isinstance(response, Failure):
            return response
        try:
            return reply_of(json.loads(response.content), latency_s=latency_s)
        # A 200 whose body is not what the protocol says, or nested so deep or with numbers so large that nobody can read it.
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            return Failure(kind=FailureKind.SERVER, detail=f"{type(error).__name__}: {error}"[:200])

    async def _post(self, body: bytes) -> HttpResponse:
        """Post a completion's body through the client; raise its errors.

        Not by ``chat.completions.create()``: it walks every turn by its type annotations. And by ``post()`` until a first one has come
        through: it makes out address, headers and timeouts anew for every call, which takes a third of the call's time.
        """
        import httpx2

        if self._like is None:
            first = await self._client.post("/chat/completions", content=body, options=_JSON, cast_to=httpx2.Response)
            if not first.history:  # where it was redirected, what came through is not what was asked for
                self._like = first.request
            return first
        return await _post_like(self._like, body, self._client)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _post_like(like: HttpRequest, body: bytes, client: AsyncOpenAI) -> HttpResponse:
    """Post another body with the address, headers and timeouts of ``like``, and raise what ``client.post`` would."""
    import anyio
    import httpx2
    import openai

    headers = [(name, value) for name, value in like.headers.raw if name.lower() != b"content-length"]
    request = httpx2.Request("POST", like.url, headers=headers, content=body, extensions=like.extensions)
    try:
        response: HttpResponse = await client._client.send(request)
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(request=request) from error
    except (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream) as error:
        raise openai.APIConnectionError(request=request) from error
    if not response.is_success:
        raise client._make_status_error_from_response(response)
    return response


def openai_client(*, base_url: str | None, api_key: str, connections: int = 16) -> AsyncOpenAI:
    """Make a client without retries whose pool holds ``connections`` connections."""
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    http = openai.DefaultAsyncHttpxClient(limits=limits, mounts=_plain(base_url, connections))
    return openai.AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=http)


def _plain(base_url: str | None, connections: int) -> Mapping[str, Any] | None:
    """Return the transport of a server without TLS that no proxy stands before; None where there is no such server."""
    where = urlsplit(base_url or "")
    if where.scheme != "http" or not getproxies().keys().isdisjoint({"http", "all"}):
        return None
    from orchestrator.plain_http import KeptConnections

    return {f"http://{where.netloc.rpartition('@')[2]}": KeptConnections(connections)}


_JSON: Any = {"headers": {"Content-Type": "application/json"}}


class _Fields(SimpleNamespace):
    """A JSON object by attributes; a field that a server leaves out is None."""

    def __getattr__(self, name: str) -> None:
        return None


async def attempt(call: Awaitable[T], *, deadline_s: float) -> T | Failure:
    """Await one call of an OpenAI client for at most ``deadline_s`` seconds; return what it gives, or the failure in its place."""
    import httpx2
    import openai

    try:
        async with asyncio.timeout(deadline_s):
            return await call
    except (TimeoutError, openai.APITimeoutError):
        return Failure(kind=FailureKind.TIMEOUT, detail=f"no reply within {deadline_s:g} s")
    except openai.APIConnectionError as error:
        return Failure(kind=FailureKind.CONNECTION, detail=str(error.__cause__ or error)[:200])
    except openai.APIStatusError as error:
        return failure_of_status(error.status_code, error.message, error.code, headers=error.response.headers)
    except httpx2.HTTPError as error:  # a connection lost in the middle of a download
        return Failure(kind=FailureKind.CONNECTION, detail=f"{type(error).__name__}: {error}"[:200])
    except (openai.OpenAIError, ValueError) as error:  # ValueError: a 200 whose body is not JSON
        return Failure(kind=FailureKind.SERVER, detail=f"{type(error).__name__}: {error}"[:200])


def arguments(request: Request) -> dict[str, Any]:
    """Return the body of a chat completion: what is sent for a request, live or in a batch."""
    body: dict[str, Any] = {
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
        body["temperature"] = request.temperature
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return body


def failure_of_status(status: int, message: str, code: str | None, headers: Mapping[str, str] | None = None) -> Failure:
    """Return the failure that an HTTP status other than 200 stands for; ``code`` is the API's own word for it."""
    if status == 429:
        kind = FailureKind.QUOTA if code == "insufficient_quota" else FailureKind.RATE_LIMITED
    elif status >= 500:
        kind = FailureKind.SERVER
    else:
        kind = FailureKind.REJECTED
    return Failure(kind=kind, detail=f"HTTP {status}: {message}"[:200], retry_after_s=_retry_after_s(headers or {}))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110, 10.2.3: a number or a date), or None."""
    exact, plain = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((exact, 1000.0), (plain, 1.0)):
        try:
            seconds = float(text or "nan") / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        until = parsedate_to_datetime(plain or "")
    except (ValueError, OverflowError):
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def reply_of(completion: Mapping[str, Any], *, latency_s: float, price_factor: float = 1.0) -> Reply | Failure:
    """Return the reply that a chat completion holds, which is a JSON object, live and in a batch.

    Raises ``AttributeError``, ``TypeError`` or ``ValueError`` when a field is not what the protocol says.
    """
    fields = _fields(completion)
    if not fields.choices:
        return Failure(kind=FailureKind.SERVER, detail="the reply holds no choice")
    choice = fields.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        detail = (choice.message.refusal or "stopped by the content filter")[:200]
        return Failure(kind=FailureKind.REFUSED, detail=detail)
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        return Failure(kind=FailureKind.TRUNCATED, detail=f"cut at max_tokens: {text[:120]!r}")
    usage = Usage(
        input_tokens=fields.usage.prompt_tokens if fields.usage else 0,
        output_tokens=fields.usage.completion_tokens if fields.usage else 0,
        latency_s=latency_s,
        price_factor=price_factor,
    )
    return Reply(text=text, tokens=_tokens(choice.logprobs), usage=usage)


def _fields(value: Any) -> Any:
    """Return a JSON value with its objects by attributes."""
    if isinstance(value, dict):
        return _Fields(**{name: _fields(inner) for name, inner in value.items()})
    return [_fields(inner) for inner in value] if isinstance(value, list) else value


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
