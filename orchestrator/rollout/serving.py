"""A release that is open, and how it is closed: when nobody uses it any more."""

from __future__ import annotations

import asyncio
from types import TracebackType

from orchestrator.classify import Classifier


class Serving:
    """A release with its classifier. Between ``take`` and ``give_back`` (or in a ``with`` block) it stays open, whatever is switched."""

    def __init__(self, release: str, classifier: Classifier) -> None:
        """Serve with ``classifier`` under the id ``release``."""
        self.release = release
        self.classifier = classifier
        self.in_use = 0
        self.retired = asyncio.Event()
        self._unused = asyncio.Event()

    def take(self) -> None:
        """Use it; it is not closed before it was given back."""
        self.in_use += 1

    def give_back(self) -> None:
        """End one use."""
        self.in_use -= 1
        if not self.in_use and self.retired.is_set():
            self._unused.set()

    def retire(self) -> None:
        """Say that nobody will take it from now on."""
        self.retired.set()
        if not self.in_use:
            self._unused.set()

    async def over(self) -> None:
        """Wait until it was retired and everybody who took it has given it back."""
        await self._unused.wait()

    def __enter__(self) -> Serving:
        """Take it."""
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back."""
        self.give_back()
