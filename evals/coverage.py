"""The coverage grid: topic by channel and difficulty, with tone, and how many voices wrote in each cell. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from evals.data import KINDS, Row
from orchestrator.schema import Category, Channel

CELLS = tuple(f"{channel.value} {kind}" for channel in Channel for kind in KINDS)


def cell(row: Row) -> str:
    """Return the column of the grid that a row counts to."""
    return f"{row.channel.value} {row.kind}"


def by_topic(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each topic with its rows, safety first; a row counts to its first topic, and to ``none`` without one."""
    for label in reversed(Category):
        topics: dict[str, list[Row]] = {}
        for row in rows:
            if row.label == label:
                topics.setdefault(next(iter(row.facet("topic")), "none"), []).append(row)
        yield from sorted(topics.items())


def voices(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many different voices wrote in each cell."""
    return {name: len({voice for row in rows if cell(row) == name for voice in row.facet("voice")}) for name in CELLS}


def coverage_grid(rows: Sequence[Row]) -> list[str]:
    """Return the grid as a Markdown table; its last column is the number of voices in the topic's thinnest cell."""
    tones = sorted({tone for row in rows for tone in row.facet("tone")})
    lines = ["| topic | " + " | ".join([*CELLS, *tones, "voices"]) + " |", "|---" * (len(CELLS) + len(tones) + 2) + "|"]
    for topic, inside in by_topic(rows):
        cells = Counter(map(cell, inside))
        moods = Counter(tone for row in inside for tone in row.facet("tone"))
        numbers = [*(cells[name] for name in CELLS), *(moods[tone] for tone in tones), min(voices(inside).values())]
        lines.append(f"| `{topic}` | " + " | ".join(str(number) for number in numbers) + " |")
    return lines
