"""Short names of candidates, for axes and headings. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def short_names(candidates: Sequence[str], models: Sequence[str | None]) -> dict[str, str]:
    """Return a short name for each candidate: without the model where all are on the same one, as long as names stay apart."""
    used = {model for model in models if model}
    if len(used) != 1:
        return {name: name for name in candidates}
    short = {name: name.replace(f"_{next(iter(used))}", "", 1) for name in candidates}
    return short if len(set(short.values())) == len(short) else {name: name for name in candidates}


def slug(name: str) -> str:
    """Return a name as an HTML id."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
