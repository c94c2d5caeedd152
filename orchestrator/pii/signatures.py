"""Names that sign a message: a line of its own near the end, or the last words after a closing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import is_given, is_medicine, is_plain, is_surname
from orchestrator.pii.reading import Reading

_LINES = 6  # lines from the end in which a signature may stand: name, post, address, phone
_TITLE = r"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sr|Sra|Dra|D|Dña)\.? )?"
_WORD = r"[^\W\d_a-z][^\W\d_]*(?:['\u2019-][^\W\d_]+)*\.?"
_JOINED = r"(?:(?:de|del|la|van|von|da|y|al|and|&) ){0,2}"
_LINE = re.compile(rf"[ \t>-]{{0,4}}{_TITLE}(?P<name>{_WORD}(?: {_JOINED}{_WORD}){{0,4}})(?=[ \t,]{{0,2}}(?:\(|,|x{{1,3}}\b|$))")
_INITIAL = re.compile(r"[^\W\d_][. ]")
_PARTED = re.compile(r"[^\W\d_]+")
_LAST = re.compile(rf"(?<!\b[^\W\d_])[.!?,\u2013-] (?P<name>{_WORD}(?: {_WORD}){{0,3}})[ .]{{0,2}}$")
_LONGEST = 90  # characters of a line or an ending that is looked at


def find_signatures(reading: Reading) -> Iterator[Span]:
    """Yield names that sign a message."""
    text = reading.text
    end = len(text.rstrip())
    for _ in range(_LINES):
        start = text.rfind("\n", 0, end) + 1
        if start == 0:
            break
        match = _LINE.match(text, start, min(end, start + _LONGEST))
        if match and _is_name(match["name"]):
            yield Span(match.start("name"), match.end("name"), Kind.NAME)
        end = len(text[:start].rstrip())
    stop = len(text.rstrip())
    last = _LAST.search(text, max(0, stop - _LONGEST), stop)
    if last and _is_name(last["name"]) and len(last["name"]) > 2:
        yield Span(last.start("name"), last.end("name"), Kind.NAME)


def _is_name(written: str) -> bool:
    """Say whether no word of a line is plain or a medicine, given names and surnames apart."""
    words = [word.lower() for word in _PARTED.findall(written)]
    if any(is_medicine(word) and not is_given(word) for word in words):
        return False
    first = next((word for word in words if len(word) > 1), "")
    if len(first) < 2 or (written.isupper() and len(words) == 1):
        return False
    return (
        is_given(first)
        or _INITIAL.match(written) is not None
        or all(is_surname(word) or is_given(word) or not is_plain(word) for word in words if len(word) > 1)
    )
