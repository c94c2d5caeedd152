"""What a run has under way at the batch API: written down after every step, so that a process stopped by kill -9 pays nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from evals.errors import EvalError
from evals.workspace import write_lines
from orchestrator.schema import Record


class Chunk(Record):
    """The requests of one batch, by key, and how far they have come."""

    round: int
    keys: tuple[str, ...]
    file_id: str | None = None
    batch_id: str | None = None
    status: str = "planned"


class Plan(Record):
    """What is under way: the content of a state file."""

    chunks: tuple[Chunk, ...]


def state_file(state: Path, keys: Iterable[str]) -> Path:
    """Return the state file of a set of requests: its name is the SHA-256 of the sorted keys."""
    return state / f"{hashlib.sha256(chr(10).join(sorted(keys)).encode()).hexdigest()}.json"


def chunked(sizes: dict[str, int], max_requests: int, max_bytes: int) -> Iterator[tuple[str, ...]]:
    """Yield the keys in order, in chunks of at most ``max_requests`` and ``max_bytes``; ``sizes`` are in bytes."""
    chunk: list[str] = []
    total = 0
    for key, size in sizes.items():
        if chunk and (len(chunk) == max_requests or total + size > max_bytes):
            yield tuple(chunk)
            chunk, total = [], 0
        chunk.append(key)
        total += size
    if chunk:
        yield tuple(chunk)


def load_plan(path: Path) -> Plan | None:
    """Return the plan in a state file, None where there is no file; raise ``EvalError`` when it cannot be read."""
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise EvalError(f"{path} cannot be read ({error}); delete it to forget the batch and start anew") from None


def save_plan(path: Path, plan: Plan) -> None:
    """Write a plan to its state file, whole or not at all; with nothing left under way the file goes."""
    if plan.chunks:
        write_lines(path, [plan.model_dump_json()])
    else:
        path.unlink(missing_ok=True)
