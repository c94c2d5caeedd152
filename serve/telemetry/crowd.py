"""Lines of the log about requests that are shed: in a flood one line for each would take more of the processor than shedding does."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

EVERY_S = 1.0
_log = logging.getLogger("serve.access")


class Crowd:
    """Of the requests shed within a second the first has its own line; how many others there were is told at its end."""

    def __init__(self) -> None:
        """Nobody has been shed yet."""
        self._others = 0
        self._within = False

    def has_own_line(self) -> bool:
        """Count one, and say whether it is to be told by itself."""
        if self._within:
            self._others += 1
            return False
        self._within = True
        asyncio.get_running_loop().call_later(EVERY_S, self.tell, context=Context())  # not the first one's, with its request's id
        return True

    def tell(self) -> None:
        """Tell how many others there were; the next one is the first again."""
        self._within = False
        if self._others:
            _log.info("more requests were shed", extra={"count": self._others})
        self._others = 0
