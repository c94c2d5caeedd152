"""What happened in the last seconds, counted exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Recent:
    """A rolling window over events of two sorts. ``total`` counts those of the last ``window_s`` seconds, ``marked`` the marked ones."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        """Count over ``window_s`` seconds of ``clock``, which never goes back."""
        self._window_s = window_s
        self._clock = clock
        self._events: deque[tuple[float, bool]] = deque()
        self._marked = 0

    @property
    def total(self) -> int:
        """All events."""
        self._forget()
        return len(self._events)

    @property
    def marked(self) -> int:
        """The marked events."""
        self._forget()
        return self._marked

    def add(self, *, marked: bool) -> None:
        """Count an event that happens now."""
        self._forget()
        self._events.append((self._clock(), marked))
        self._marked += marked

    def clear(self) -> None:
        """Forget everything."""
        self._events.clear()
        self._marked = 0

    def _forget(self) -> None:
        before = self._clock() - self._window_s
        while self._events and self._events[0][0] <= before:
            self._marked -= self._events.popleft()[1]
