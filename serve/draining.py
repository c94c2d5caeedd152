"""Stop without dropping anybody: on SIGTERM say "not ready", keep serving for a while, and only then stop listening."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Draining:
    """Whether the end has begun. While it lasts every answer closes its connection, so that clients go elsewhere for the next."""

    def __init__(self, seconds: float) -> None:
        """Serve on for ``seconds`` after SIGTERM, so that load balancers see that this process is not ready."""
        self.begun = False
        self.on_begin: Callable[[], None] = lambda: None  # called once, in the event loop
        self._seconds = seconds

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Put the wait before the SIGTERM handler that is installed (uvicorn's, which stops listening and finishes what is in flight).

        A second SIGTERM ends the wait. Outside the main thread, where nobody gets signals, nothing is done.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        stop = signal.getsignal(signal.SIGTERM)
        if not callable(stop):
            yield
            return
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            again, self.begun = self.begun, True
            if not again:
                loop.call_soon_threadsafe(self.on_begin)
            if again or not self._seconds:
                stop(number, frame)
            else:
                loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, None)

        signal.signal(signal.SIGTERM, drain)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
