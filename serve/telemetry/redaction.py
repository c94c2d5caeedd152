"""The last step before a log line is written: nothing personal, no secret and no message's text passes here.

Numbers pass. Text passes redacted, keys and tokens masked. What is under a name that stands for a message's text does not pass, nor
does any object whose text nobody has looked at. Of an exception its type and where it was raised are told; what it says only where we
wrote it ourselves, for an exception of somebody else's quotes what it could not handle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import date
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.redact import redact

WITHHELD = "[NOT LOGGED]"
MASK = "[SECRET]"
LONGEST = 2_000  # characters of one value
LONGEST_READ = 4 * LONGEST  # what is redacted before it is cut: a cut may halve a number, and half a number is not recognised
DEEPEST = 4
FRAMES = 20
CAUSES = 5

# Written by the service itself, of bounded sets: redaction takes longer than all the rest of a line.
OURS = frozenset(
    {
        "timestamp",
        "level",
        "logger",
        "release",
        "request_id",
        "method",
        "route",
        "client",
        "category",
        "degraded",
        "status",
        "stack",
        "type",
    }
)
# Names under which libraries and people put what was said.
SAID = frozenset(
    {
        *("answer", "args", "body", "content", "data", "detail", "input", "json", "json_data", "message", "messages", "metadata", "note"),
        *("params", "payload", "prompt", "rationale", "raw", "redacted_text", "reply", "request", "response", "text", "token", "turns"),
        *("authorization", "cookie", "headers", "password", "path", "query", "url"),
    }
)
_SECRETS = re.compile(
    r"""(?ix)
    \b(?:bearer|basic)\s+[\w.~+/=-]{6,}
    | \b(?:sk|pk|rk|cco)[-_][\w-]{8,}
    | (?<=://)[^\s/@]+@
    | (?:(?:api[-_ ]?key|token|password|passwd|secret|authorization)["']?\s*[:=]\s*["']?(?:(?:bearer|basic)\s+)?)[^\s"',;]{4,}
    """
)


class Redactor:
    """A processor of structlog's that lets pass only what may be read by who reads logs."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Mask ``secrets`` too wherever they stand."""
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)  # shorter ones would be found in words
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._clean: set[str] = set()  # texts that redaction left as they were: most lines say the same again and again

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Redact one line."""
        return {self._text(name): value if name in OURS else self._value(name, value, 0) for name, value in line.items()}

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if name.lower() in SAID:
            return WITHHELD
        if isinstance(value, str):
            return self._text(str(value))
        if value is None or isinstance(value, bool | float | int):
            return self._number(value)
        if depth < DEEPEST and isinstance(value, Mapping):
            return {self._text(str(key)): self._inner(str(key), inner, depth) for key, inner in value.items()}
        if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._value(name, inner, depth + 1) for inner in value]
        return value.isoformat() if isinstance(value, date) else f"<{type(value).__name__}>"

    def _inner(self, key: str, value: Any, depth: int) -> Any:
        return value if depth and key in OURS else self._value(key, value, depth + 1)

    def _number(self, value: float | None) -> Any:
        """Return a number, unless it is one that names somebody: of a card, a phone, a person's insurance."""
        if isinstance(value, int) and abs(value) >= 10**6:
            return value if self._text(str(value)) == str(value) else WITHHELD
        return value

    def _text(self, text: str) -> str:
        if text in self._clean:
            return text
        told = text[:LONGEST_READ]
        if self._known:
            told = self._known.sub(MASK, told)
        told = redact(_SECRETS.sub(MASK, told))
        if told == text and len(text) <= 200:
            if len(self._clean) >= 1_000:
                self._clean.clear()
            self._clean.add(text)
        return told if len(text) <= LONGEST_READ and len(told) <= LONGEST else told[:LONGEST] + "…"


def told_of(error: BaseException) -> list[dict[str, Any]]:
    """Return what may be told of an exception and of what caused it: of each its type, its stack, and what it says where we wrote that."""
    told: list[dict[str, Any]] = []
    following: BaseException | None = error
    while following is not None and len(told) < CAUSES:
        one: dict[str, Any] = {"type": type(following).__name__, "stack": _stack(following)}
        if isinstance(following, OrchestratorError):
            one["says"] = str(following)
        elif isinstance(following, OSError) and following.strerror:
            one["says"] = following.strerror
        told.append(one)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return told


def _stack(error: BaseException) -> list[str]:
    lines, at = [], error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        lines.append(f"{'/'.join(code.co_filename.split('/')[-3:])}:{at.tb_lineno} {code.co_name}")
        at = at.tb_next
    return lines[-FRAMES:]
