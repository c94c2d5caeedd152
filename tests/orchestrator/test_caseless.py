"""Promise: a caseless pattern finds what the same pattern finds with ``re.IGNORECASE``, at the same places."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.service.caseless import Caseless
from orchestrator.service.date_patterns import DATES
from orchestrator.service.intents import _signs

PATTERNS = [*DATES.values(), *_signs().values()]
WORDS = [
    "Next",
    "TUESDAY",
    "the 14th",
    "Jan 3",
    "mañana",
    "cancel",
    "REFUND",
    "İstanbul",
    "\u017feptember",
    "\u212a",
    "1/2/2026",
    " ",
    "-",
    "'s",
]


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join))
def test_case_does_not_matter(text):
    for pattern in PATTERNS:
        plain = pattern._any_case
        assert [match.span() for match in pattern.finditer(text)] == [match.span() for match in plain.finditer(text)]
        assert (pattern.search(text) is None) == (plain.search(text) is None)


def test_a_pattern_with_a_capital_letter_is_refused():
    with pytest.raises(ValueError, match="capital"):
        Caseless("Tuesday")
    assert Caseless(r"(?P<day>\Bx\W)").search("aX!").span("day") == (1, 3)
