"""What settings must be to one another, and to the machine: ``Settings -> problems``, all of them, each with what to do."""

from __future__ import annotations

from collections.abc import Collection

from serve.checks import between, outside
from serve.settings import Settings

__all__ = ["check"]


def check(settings: Settings, *, unusable: Collection[str] = ()) -> list[str]:
    """Return every problem, each beginning with the variable's name. What is about an ``unusable`` setting is left out: it has one already.

    No value of a URL or a file is repeated: passwords stand in them.
    """
    return [
        problem for one in (*outside.CHECKS, *between.CHECKS) if not set(one.settings) & set(unusable) for problem in one.problems(settings)
    ]
