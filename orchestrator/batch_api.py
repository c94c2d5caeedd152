"""The OpenAI Batch API: files of requests, answered within a day at a part of the price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from orchestrator.llm import Reply, Request, arguments, attempt, failure_of_status, reply_of
from orchestrator.schema import Failure, FailureKind, Record

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.types import Batch as ApiBatch

ENDPOINT: Final = "/v1/chat/completions"
# "The file can contain up to 50,000 requests, and can be up to 200 MB in size" (API reference, Create batch, November 2026).
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
PAGE = 100  # the most that one page of a list may hold
TRANSFER_S = 900.0  # a file of 200 MB, up or down


class Batch(Record):
    """Where one batch stands. ``status`` is the API's own word; ``errors`` says why it is ``failed``."""

    id: str
    status: str
    input_file_id: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    done: int = 0
    total: int = 0
    errors: tuple[str, ...] = ()


class Line(Record):
    """One line of a batch's output: what became of a request. ``answer`` is None where it was never executed."""

    custom_id: str
    answer: Reply | Failure | None


class BatchApi:
    """A provider's batch API. Every call is made once and returns its failure as a value.

    ``client`` must have its own retries switched off. ``price_factor`` is the share of the list price that is charged.
    """

    def __init__(self, client: AsyncOpenAI, *, price_factor: float, deadline_s: float = 60.0) -> None:
        """Work through ``client``, each call but a file's transfer within ``deadline_s`` seconds."""
        self._client = client
        self._deadline_s = deadline_s
        self.price_factor = price_factor

    async def upload(self, content: bytes) -> str | Failure:
        """Upload a file of requests and return its id."""
        call = self._client.files.create(file=("requests.jsonl", content), purpose="batch", timeout=TRANSFER_S)
        uploaded = await attempt(call, deadline_s=TRANSFER_S)
        return uploaded if isinstance(uploaded, Failure) else uploaded.id

    async def create(self, file_id: str, metadata: dict[str, str]) -> Batch | Failure:
        """Start a batch on an uploaded file."""
        return await self._batch(
            self._client.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", metadata=metadata)
        )

    async def retrieve(self, batch_id: str) -> Batch | Failure:
        """Look how far a batch is."""
        return await self._batch(self._client.batches.retrieve(batch_id))

    async def cancel(self, batch_id: str) -> Batch | Failure:
        """Ask for a batch to be stopped; what is done by then is kept and charged."""
        return await self._batch(self._client.batches.cancel(batch_id))

    async def find(self, file_id: str) -> Batch | Failure | None:
        """Return the batch that was started on a file, or None."""

        async def search() -> ApiBatch | None:
            async for batch in self._client.batches.list(limit=PAGE):
                if batch.input_file_id == file_id:
                    return batch
            return None

        found = await attempt(search(), deadline_s=TRANSFER_S)  # an organisation may have many pages of batches
        return found if found is None or isinstance(found, Failure) else _batch_of(found)

    async def download(self, file_id: str, path: Path) -> Path | Failure:
        """Write a file's content to ``path``; only when ``path`` is returned it is whole."""

        async def fetch() -> Path:
            async with self._client.files.with_streaming_response.content(file_id, timeout=TRANSFER_S) as response:
                await response.stream_to_file(path)
            return path

        return await attempt(fetch(), deadline_s=TRANSFER_S)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _batch(self, call: Any) -> Batch | Failure:
        batch = await attempt(call, deadline_s=self._deadline_s)
        return batch if isinstance(batch, Failure) else _batch_of(batch)


def encode(request: Request) -> bytes:
    """Return a request as a line of a batch's input file; its custom id is the request's key."""
    line = {"custom_id": request.key(), "method": "POST", "url": ENDPOINT, "body": arguments(request)}
    return json.dumps(line).encode() + b"\n"


def decode(line: bytes, *, price_factor: float) -> Line | None:
    """Read a line of an output or error file; return None when it is not what the protocol says."""
    try:
        fields = json.loads(line)
        return Line(custom_id=fields["custom_id"], answer=_answer(fields, price_factor))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _answer(fields: dict[str, Any], price_factor: float) -> Reply | Failure | None:
    response: Any = fields.get("response")
    error: Any = fields.get("error")
    if response is None:
        if error["code"] in {"batch_expired", "batch_cancelled"}:
            return None
        kind = FailureKind.TIMEOUT if error["code"] == "request_timeout" else FailureKind.SERVER
        return Failure(kind=kind, detail=f"{error['code']}: {error.get('message')}"[:200])
    body = response["body"]
    if response["status_code"] == 200:
        return reply_of(dict(body), latency_s=0.0, price_factor=price_factor)
    told = body.get("error") or {}
    return failure_of_status(response["status_code"], str(told.get("message")), told.get("code"))


def _batch_of(batch: ApiBatch) -> Batch:
    counts = batch.request_counts
    return Batch(
        id=batch.id,
        status=batch.status,
        input_file_id=batch.input_file_id,
        output_file_id=batch.output_file_id or None,  # an empty id is none
        error_file_id=batch.error_file_id or None,
        done=counts.completed + counts.failed if counts else 0,
        total=counts.total if counts else 0,
        errors=tuple(
            (f"line {error.line}: " if error.line else "") + f"{error.message} ({error.code})"
            for error in (batch.errors.data if batch.errors and batch.errors.data else [])
        ),
    )
