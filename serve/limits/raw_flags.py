"""Look for red flags in a body that nobody has parsed: ``bytes -> bool``, whatever the bytes are.

The strings behind ``"message":`` are read, or the whole where there is none. It is asked only when a request would else be shed, and
must not hold up the others: texts are read in pieces, and none is begun once ``BUDGET_S`` are used up. Of all time no more than
``SHARE`` goes into looking: in a flood more would take the processor from those who have a place, and so from urgent ones, too.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

from orchestrator.safety import red_flags
from orchestrator.safety_text import MAX_CHARS

BUDGET_S = 0.002  # a message of known words takes a tenth of it
# Characters. A piece of made-up words takes some 7 ms, which is why longer ones are not read in one: 2 ms and it are below the 10 ms
# in which a request is shed. Phrases that reach further than the overlap are missed; messages of customers are mostly shorter.
PIECE, OVERLAP = 1000, 200
SHARE = 0.15  # some thousand looks a second: many more urgent messages than a process answers
SAVED_S = 0.1  # looking time that is saved up at most: a burst of some thousand is looked at whole
MAX_BYTES = 65_536  # of a longer body, a batch's, the beginning

_MESSAGE = re.compile(r'"message"\s*+:\s*+"((?:[^"\\]++|\\.)*+)', re.DOTALL)  # possessive: no backtracking, linear on any input
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BLANKS = {"n": "\n", "r": "\n", "t": " ", "b": " ", "f": " "}


class Looking:
    """``has_red_flag`` within ``SHARE`` of all time; a body that comes when that is used up is not looked at, and has none."""

    def __init__(self, look: Callable[[bytes], bool] | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        """Look with ``look``, that is ``has_red_flag``."""
        self._look, self._clock = look or has_red_flag, clock
        self._left_s, self._at = SAVED_S, clock()

    def __call__(self, body: bytes) -> bool:
        """Say whether a red flag was seen."""
        began = self._clock()
        self._left_s = min(SAVED_S, self._left_s + SHARE * (began - self._at))
        self._at = began
        if self._left_s <= 0:
            return False
        found = self._look(body)
        self._left_s -= self._clock() - began
        return found


def has_red_flag(body: bytes, clock: Callable[[], float] = time.perf_counter) -> bool:
    """Say whether a red flag stands in the messages of a body; never fails."""
    until = clock() + BUDGET_S
    for piece in _pieces(_messages(body)):
        if red_flags(piece):
            return True
        if clock() > until:
            return False
    return False


def _messages(body: bytes) -> str:
    text = body[:MAX_BYTES].decode(json.detect_encoding(body), "replace")  # JSON may come in UTF-16, too
    found = "\n\n".join(_MESSAGE.findall(text)) or text  # a blank line ends a sentence: no phrase reaches over it
    return _plain(found[:MAX_CHARS])


def _plain(text: str) -> str:
    r"""Resolve JSON's escapes; ``\ud83d\ude00`` is one character."""
    if "\\" not in text:
        return text
    found = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _BLANKS.get(match[2], match[2]), text)
    return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, max(1, len(text) - OVERLAP), PIECE - OVERLAP):
        yield text[start : start + PIECE]
