"""Names that stand right before other personal data, which are whose it is: ``Ashby Xu, 07700 900123``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from orchestrator.pii import name_words as nw
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import is_given, is_listed_plain, is_medicine, is_surname
from orchestrator.pii.reading import Reading

_MOST_WORDS = 5  # of a name
_BELONGS = frozenset({Kind.PHONE, Kind.DOB, Kind.EMAIL, Kind.ADDRESS, Kind.NHS, Kind.SSN})


def find_beside(reading: Reading, spans: Iterable[Span]) -> Iterator[Span]:
    """Yield capitalised unknown words right before other personal data, which are whose it is: ``Ashby Xu, 07700 900123``."""
    starts = [word.start for word in reading.words]
    for span in spans:
        if span.kind in _BELONGS:
            last = first = bisect_left(starts, span.start) - 1
            if last < 0 or reading.text[reading.words[last].end : span.start].strip(" ,:(-\n") or not _unknown(reading, last):
                continue
            while first > 0 and last - first < _MOST_WORDS - 1 and nw.is_joined(reading, first) and _unknown(reading, first - 1):
                first -= 1
            yield Span(reading.words[first].start, reading.words[last].end, Kind.NAME)


def _unknown(reading: Reading, index: int) -> bool:
    """Say whether a word is capitalised and nothing else than a name as far as the lists know."""
    written, lower = reading.words[index].text, reading.words[index].lower
    if not written[0].isupper() or (written.isupper() and len(written) > 1) or not lower.replace("'", "").replace("-", "").isalpha():
        return False
    return lower not in nw.STOPS and not is_medicine(lower) and (is_surname(lower) or is_given(lower) or not is_listed_plain(lower))
