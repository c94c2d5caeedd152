"""One check: the settings it is about, and what finds its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from serve.settings import Settings


class Check(NamedTuple):
    """``problems`` yields lines, each beginning with a variable's name, then what is wrong, then what to do."""

    settings: tuple[str, ...]
    problems: Callable[[Settings], Iterator[str]]
