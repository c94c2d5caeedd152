"""Names spelled letter by letter: ``smith s m i t h``, ``P-E-N-H-A-L-I-G-O-N``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import words_of
from orchestrator.pii.name_words import is_joined
from orchestrator.pii.reading import Reading

_LETTERS = re.compile(r"(?<![^\W_])[^\W\d_][ .,-]{1,2}[^\W\d_](?![^\W_])")  # two letters that stand alone
_LETTER_CUES = words_of("spelled spelt spell spelling that's thats surname name letras deletreo deletreado escribe apellido it's")


def find_spelled(reading: Reading, names: Sequence[Span]) -> Iterator[Span]:
    """Yield names spelled letter by letter after a name or a cue: ``smith s m i t h``."""
    if _LETTERS.search(reading.text) is None:
        return
    ends = {name.end for name in names}
    words, index = reading.words, 0
    while index < len(words):
        if len(words[index].text) > 1 and "-" not in words[index].text:
            index += 1
            continue
        last = index
        while (
            last < len(words) and len(words[last].text) == 1 and words[last].text.isalpha() and (last == index or is_joined(reading, last))
        ):
            last += 1
        cued = index > 0 and (
            (words[index - 1].end in ends and reading.between(index - 1, index) in {" ", ", "})
            or not _LETTER_CUES.isdisjoint(w.lower for w in words[max(0, index - 4) : index])
        )
        if last - index >= 3 and cued:
            yield Span(words[index].start, words[last - 1].end, Kind.NAME)
        elif (
            len(words[index].text) > 6
            and words[index].text.count("-") >= 3
            and all(len(part) == 1 for part in words[index].text.split("-"))
        ):
            yield Span(words[index].start, words[index].end, Kind.NAME)
        index = max(last, index + 1)
