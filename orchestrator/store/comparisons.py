"""What two releases decided about the same message: rows without a word of it, gone when the message is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, func, insert, select

from orchestrator.schema import Category, Classification, Probabilities, Record, Share
from orchestrator.store.erasure import pages
from orchestrator.store.tables import ComparisonRow, Interaction


class Side(Record):
    """What one release decided."""

    release: str
    category: Category
    routed_as_safety: bool
    confidence: Share
    degraded: bool
    probabilities: Probabilities

    @classmethod
    def of(cls, release: str, classification: Classification) -> Side:
        """Take from a classification what is compared."""
        decision = classification.decision
        return cls(
            release=release,
            category=decision.category,
            routed_as_safety=decision.routed_as_safety,
            confidence=decision.confidence,
            degraded=classification.degraded,
            probabilities=classification.probabilities,
        )


class Comparison(Record):
    """One message as both decided it. In shadow mode the champion's answer was used, in canary mode the challenger's."""

    request_id: str
    created_at: datetime
    mode: Literal["shadow", "canary"]
    champion: Side
    challenger: Side

    @property
    def agree(self) -> bool:
        """Whether both give the same category and route it alike."""
        mine, theirs = self.champion, self.challenger
        return (mine.category, mine.routed_as_safety) == (theirs.category, theirs.routed_as_safety)


class Agreement(NamedTuple):
    """How many messages two releases were compared on, and on how many they agreed."""

    compared: int
    agreed: int


class Pair(NamedTuple):
    """Two releases that were compared."""

    champion: str
    challenger: str


def add_comparisons(connection: Connection, found: Sequence[Comparison]) -> int:
    """Write comparisons, but of no message that was forgotten meanwhile; return how many were written."""
    known: set[str] = set()
    for page in pages([one.request_id for one in found]):
        kept = Interaction.request_id.in_(page) & (Interaction.redacted_text != "")
        held = select(Interaction.request_id).where(kept).with_for_update(read=True)  # an erasure under way is waited for, and waits
        known |= set(connection.scalars(held))
    rows = [_row(one) for one in found if one.request_id in known]
    if rows:
        connection.execute(insert(ComparisonRow), rows)
    return len(rows)


def read_comparisons(connection: Connection, pair: Pair, since: datetime | None = None) -> Iterator[Comparison]:
    """Yield the comparisons of two releases in the order they were written, a page in memory at a time."""
    query = select(ComparisonRow.__table__).where(*_of(pair)).order_by(ComparisonRow.id).execution_options(yield_per=1000)
    if since is not None:
        query = query.where(ComparisonRow.created_at >= since)
    for row in connection.execute(query):
        yield Comparison(
            request_id=row.request_id,
            created_at=row.created_at,
            mode=row.mode,
            champion=Side.model_validate({**row.champion, "release": row.champion_release}),
            challenger=Side.model_validate({**row.challenger, "release": row.challenger_release}),
        )


def compared_pairs(connection: Connection) -> list[Pair]:
    """Return which releases were compared, those compared last first."""
    names = ComparisonRow.champion_release, ComparisonRow.challenger_release
    query = select(*names).group_by(*names).order_by(func.max(ComparisonRow.id).desc())
    return [Pair(*row) for row in connection.execute(query)]


def count_agreement(connection: Connection, pair: Pair) -> Agreement:
    """Return how often two releases agreed."""
    counts = select(func.count(), func.count().filter(ComparisonRow.agree)).where(*_of(pair))
    return Agreement(*connection.execute(counts).one())


def _of(pair: Pair) -> tuple[Any, Any]:
    return ComparisonRow.champion_release == pair.champion, ComparisonRow.challenger_release == pair.challenger


def _row(found: Comparison) -> dict[str, Any]:
    return {
        "request_id": found.request_id,
        "created_at": found.created_at,
        "mode": found.mode,
        "champion_release": found.champion.release,
        "challenger_release": found.challenger.release,
        "agree": found.agree,
        "champion": found.champion.model_dump(mode="json", exclude={"release"}),
        "challenger": found.challenger.model_dump(mode="json", exclude={"release"}),
    }
