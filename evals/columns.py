"""Scored rows as columns: what the metrics read, built in one pass and held in about 150 bytes a row."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from evals.data import Split
from evals.scored import Scored
from orchestrator.schema import CATEGORIES, Band, Classification, Probabilities, Source

SPLITS, BANDS, SOURCES = tuple(Split), tuple(Band), tuple(Source)
NO_ANSWER = -1  # the code of a failure's prediction
MISSING = (float("nan"),) * len(CATEGORIES)
LENGTHS = ((100, "short"), (200, "medium"))  # characters; about a third of the written messages lies in each, the rest is "long"
CHUNK = 1 << 16  # rows gathered before they are packed: bounds what the packing holds twice

PACKED = np.dtype(
    [
        ("split", "i1"),
        ("seed", "i4"),
        ("label", "i1"),
        ("raw", "f8", len(CATEGORIES)),
        ("calibrated", "f8", len(CATEGORIES)),
        ("decided", "i1"),
        ("confidence", "f8"),
        ("band", "i1"),
        ("routed", "?"),
        ("review", "?"),
        ("failed", "?"),
        ("degraded", "?"),
        ("source", "i1"),
        ("cost_usd", "f8"),
        ("latency_s", "f8"),
        ("input_tokens", "i4"),
        ("output_tokens", "i4"),
    ]
)
Numbers = NDArray[np.float64]
Codes = NDArray[np.integer]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Scored rows as arrays of length n.

    ``split``, ``band`` and ``source`` are codes into ``SPLITS``, ``BANDS`` and ``SOURCES``, ``label`` and ``decided`` into
    ``CATEGORIES``, ``seed`` numbers the seeds in the order of their ids. ``raw`` and ``calibrated`` are the candidate's
    probabilities of shape (n, 3), NaN where it failed; ``decided`` and ``confidence`` are the whole system's, which decides then
    too. A row has several tags, ``facet:value``: those of row i are ``tag[tag_start[i]:tag_start[i + 1]]``, codes into ``tags``.
    """

    split: Codes
    seed: Codes
    label: Codes
    raw: Numbers
    calibrated: Numbers
    decided: Codes
    confidence: Numbers
    band: Codes
    routed: Flags
    review: Flags
    failed: Flags
    degraded: Flags
    source: Codes
    cost_usd: Numbers
    latency_s: Numbers
    input_tokens: Codes
    output_tokens: Codes
    tag: Codes
    tag_start: Codes
    tags: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.label)

    @classmethod
    def of(cls, rows: Iterable[Scored]) -> Columns:
        """Return the columns of ``rows``, which may be a generator: no row is kept."""
        seeds: dict[str, int] = {}
        tags: dict[str, int] = {}
        tag, tag_start = array("i"), array("q", [0])

        def packed() -> Iterator[tuple[object, ...]]:
            for row in rows:
                tag.extend(tags.setdefault(name, len(tags)) for name in _tags(row))
                tag_start.append(len(tag))
                yield _packed(row, seeds.setdefault(row.seed_id, len(seeds)))

        stream, chunks = packed(), [np.empty(0, PACKED)]
        while len(chunk := np.fromiter(islice(stream, CHUNK), PACKED)):
            chunks.append(chunk)
        columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in PACKED.names or ()}
        # Seeds and tags are numbered by name, not by appearance, so that the order of the rows is no matter to anything drawn from them.
        columns["seed"] = _rank(seeds)[columns["seed"]]
        return cls(**columns, tag=_rank(tags)[np.array(tag, np.int32)], tag_start=np.array(tag_start, np.int64), tags=tuple(sorted(tags)))

    def where(self, mask: Flags) -> Columns:
        """Return the rows for which ``mask`` (n,) holds; codes keep their meaning."""
        sizes = np.diff(self.tag_start)
        picked = {field.name: getattr(self, field.name)[mask] for field in fields(self) if not field.name.startswith("tag")}
        start = np.concatenate([[0], np.cumsum(sizes[mask])])
        return Columns(**picked, tag=self.tag[np.repeat(mask, sizes)], tag_start=start, tags=self.tags)

    def of_split(self, split: Split) -> Columns:
        """Return the rows of one split."""
        return self.where(self.split == SPLITS.index(split))


def top(probabilities: Numbers) -> NDArray[np.int8]:
    """Return the most probable category of each row of shape (n, 3), ties to the higher precedence; ``NO_ANSWER`` for a row of NaN."""
    last = len(CATEGORIES) - 1
    return np.where(np.isnan(probabilities[:, 0]), NO_ANSWER, last - probabilities[:, ::-1].argmax(axis=1)).astype(np.int8)


def filled(probabilities: Numbers) -> Numbers:
    """Return the probabilities of shape (n, 3) with certainty spread evenly, 1/3 each, where a row is NaN."""
    return np.where(np.isnan(probabilities), 1 / len(CATEGORIES), probabilities)


def _packed(row: Scored, seed: int) -> tuple[object, ...]:
    """Return what ``PACKED`` holds of a row, in its order."""
    found = row.classification
    decision, usage = found.decision, found.usage
    return (
        _SPLIT[row.split],
        seed,
        _CATEGORY[row.label],
        _vector(found.raw_probabilities),
        _vector(_calibrated(found)),
        _CATEGORY[decision.category],
        decision.confidence,
        _BAND[decision.band],
        decision.routed_as_safety,
        decision.review_required,
        found.failure is not None,
        found.degraded,
        _SOURCE[found.source],
        row.cost_usd,
        usage.latency_s,
        usage.input_tokens,
        usage.output_tokens,
    )


def _calibrated(found: Classification) -> Probabilities | None:
    """Return the candidate's own probabilities: after a failure those of the record are the local classifier's."""
    return None if found.failure else found.probabilities


def _vector(p: Probabilities | None) -> tuple[float, ...]:
    return MISSING if p is None else (p.informational, p.service_action, p.safety_compliance)


def _tags(row: Scored) -> Iterator[str]:
    """Yield the slices a row is in, each once: what it is tagged with, its channel, kind, length, and where it comes from."""
    yield f"channel:{row.channel.value}"
    yield f"kind:{row.kind}"
    if row.characters is not None:
        yield "length:" + next((name for limit, name in LENGTHS if row.characters < limit), "long")
    if not any(name.startswith("source:") for name in row.slices):
        yield "source:written"
    yield from dict.fromkeys(row.slices)


def _rank(names: dict[str, int]) -> NDArray[np.int32]:
    """Return, for codes given in the order of appearance, the codes in the order of names."""
    rank = np.empty(len(names), np.int32)
    rank[[names[name] for name in sorted(names)]] = np.arange(len(names))
    return rank


_SPLIT = {value: code for code, value in enumerate(SPLITS)}
_CATEGORY = {value: code for code, value in enumerate(CATEGORIES)}
_BAND = {value: code for code, value in enumerate(BANDS)}
_SOURCE = {value: code for code, value in enumerate(SOURCES)}
