"""All recognisers one after another: what an earlier one takes, a later one leaves alone."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from orchestrator.pii import addresses, beside, births, checksums, codes, digits, emails, names, signatures, spelled
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.reading import read


def find(text: str, *, orders: bool = False) -> tuple[Span, ...]:
    """Return the personal data of a text as spans in order that do not overlap; order numbers only if ``orders``."""
    reading = read(text)
    taken = _Taken()
    # Sure before unsure: a checksum or an at sign says more than a cue, a cue more than a shape, and a name is the least sure.
    taken.add(emails.find_emails(reading))
    taken.add(emails.find_said_emails(reading))
    taken.add(checksums.find_ibans(reading))
    taken.add(checksums.find_said_ibans(reading))
    taken.add(checksums.find_national_numbers(reading))
    for start, end, kind in codes.find_codes(reading):
        taken.take(start, end, kind)
    taken.add(births.find_births(reading))
    taken.add(addresses.find_addresses(reading))
    taken.add(digits.find_mixed(reading))
    taken.add(digits.find_digit_runs(reading))
    taken.add(digits.find_said_runs(reading))
    taken.add(codes.find_hashes(reading))
    taken.add(signatures.find_signatures(reading))
    taken.add(names.find_names(reading))
    taken.add(beside.find_beside(reading, taken.spans()))
    named = [span for span in taken.spans() if span.kind == Kind.NAME]
    taken.add(spelled.find_spelled(reading, named))
    taken.add(births.find_dates_of(reading, named))
    return tuple(span for span in taken.spans() if orders or span.kind != Kind.ORDER)


class _Taken:
    """Places already taken, in order."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int, Kind | None]] = []

    def add(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.take(*span)

    def take(self, start: int, end: int, kind: Kind | None) -> None:
        """Take a place if it is free; a kind of None keeps others out of it."""
        at = bisect_left(self._places, (start, 0))
        free_before = at == 0 or self._places[at - 1][1] <= start
        free_after = at == len(self._places) or self._places[at][0] >= end
        if start < end and free_before and free_after:
            insort(self._places, (start, end, kind), key=lambda place: place[:2])

    def spans(self) -> list[Span]:
        return [Span(start, end, kind) for start, end, kind in self._places if kind is not None]
