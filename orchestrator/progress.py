"""Show how far long work has come, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

LINE_EVERY_S = 15.0
BAR_EVERY_S = 0.1
BAR_WIDTH = 30


class Progress:
    """How far ``total`` items have come. What was done before this run counts as done, but not for the rate."""

    def __init__(self, title: str, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Show on ``stream``; ``clock`` gives seconds."""
        self._title, self._total, self._stream, self._clock = title, total, stream, clock
        self._bar = stream.isatty()
        self._done = self._fresh = 0
        self._started = self._shown = clock()

    def advance(self, *, before: bool = False) -> None:
        """Count one item as finished."""
        now = self._clock()
        self._done += 1
        if before and not self._fresh:
            self._started = now
        else:
            self._fresh += 1
        if self._done == self._total or now - self._shown >= (BAR_EVERY_S if self._bar else LINE_EVERY_S):
            self._shown = now
            self._show(now)

    def note(self, text: str) -> None:
        """Print a line beside the bar."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._bar else f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the bar's line."""
        if self._bar and self._done:
            self._show(self._clock())
            self._stream.write("\n")
            self._stream.flush()

    def _show(self, now: float) -> None:
        told = f"{self._done}/{self._total}"
        if self._fresh:
            rate = self._fresh / max(now - self._started, 1e-9)
            told += f", {rate:.1f}/s, {_duration((self._total - self._done) / rate)} left"
        if not self._bar:
            self._stream.write(f"{self._title}: {told}\n")
        else:
            full = BAR_WIDTH * self._done // max(self._total, 1)
            line = f"{self._title} [{'#' * full}{'.' * (BAR_WIDTH - full)}] {told}"
            self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        self._stream.flush()


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Yield what counts the finished items."""
    shown = Progress(title, total, sys.stderr)
    try:
        yield shown
    finally:
        shown.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
