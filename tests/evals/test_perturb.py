import random
import string
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.perturb import MECHANICAL, asr, casing, homoglyphs, typos, whitespace

TEXT = "Hi, my son took 2 of the 500 mg tablets for his week-long cold and they made him sick to his stomach."


@pytest.mark.parametrize("name", MECHANICAL)
@given(text=st.text(min_size=1).filter(lambda text: any(c.isascii() and c.isalpha() for c in text)), seed=st.integers(0, 99))
@example(text="A\N{SHARADA DIGIT ZERO}", seed=0)  # a digit of another script
def test_every_perturbation_gives_another_text_and_always_the_same(name, text, seed):
    changed = MECHANICAL[name](text, random.Random(seed))
    assert changed != text
    assert changed.strip()
    assert changed == MECHANICAL[name](text, random.Random(seed))


def test_typos_leave_numbers_and_most_words():
    changed = typos(TEXT, random.Random(1)).split()
    same = sum(a == b for a, b in zip(TEXT.split(), changed, strict=True))
    assert {"2", "500"} <= set(changed)
    assert 0.6 * len(changed) < same < len(changed)


def test_casing_and_whitespace_keep_every_letter_in_order():
    assert casing(TEXT, random.Random(1)).lower() == TEXT.lower()
    assert whitespace(TEXT, random.Random(1)).split() == TEXT.split()


def test_homoglyphs_look_the_same_and_are_not():
    changed = homoglyphs(TEXT, random.Random(1))
    foreign = [c for c in changed if c not in string.printable]
    assert "CYRILLIC" in unicodedata.name(next(c for c in foreign if c != "\u200b"))
    assert len(changed) == len(TEXT) + 1


def test_asr_has_no_punctuation_no_capitals_and_digits_as_words():
    heard = asr(TEXT, random.Random(1))
    assert set(heard) <= set(string.ascii_lowercase + " '")
    assert "five zero zero" in heard
