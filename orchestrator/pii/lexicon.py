"""Which words may be names: lists of given names and surnames, and lists of medicines and plain words that never are."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

# Class endings of international non-proprietary names (WHO, "The use of stems", 2018) that surnames hardly have.
_CLASS = re.compile(
    r".{2,}(?:cillins?|mycin|micin|prils?|sartans?|statins?|[aeio]lols?|azoles?|oxetine|[aeio]pine|azepam|zolam|[mt]umab|[aeiou]mab"
    r"|[aeiou]nib|[aeiou]vir|triptans?|gliptin|gliflozin|glutide|floxacin|cycline|dronate|dronic|thiazide|semide|profen|caine|solone"
    r"|[aeiou]sone|peridone|barbital|zosin|tidine|setron|xaban|grel|lukast|terol|tropium|fenac|oxicam|codone|morphone|formin|gabalin"
    r"|trigine|tiazem|[aeo]nafil|cilina|statina|tadine|rizine|amide|amine|phylline|thyroxine|sodium|itis|osis|emia|algia|ectomy)"
)
# Endings of adjectives, participles and nouns; names that have one are in the lists.
_PLAIN = re.compile(r".{2,}(?:ing|ed|ly|ous|ible|able|tion|sion|ful|less|ness|ment|ity|ive|ical|ish|ado|ada|ando|iendo|ción|mente)")


def words_of(text: str) -> frozenset[str]:
    """Return the words of a list written as text."""
    return frozenset(text.split())


@cache
def _words(name: str) -> frozenset[str]:
    lines = (files("orchestrator.pii") / "words" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


@cache
def cities() -> frozenset[str]:
    """Return towns in lower case."""
    lines = (files("orchestrator.pii") / "words" / "cities.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


@cache
def _all_given() -> frozenset[str]:
    return _words("given") | _words("ambiguous")


def is_given(word: str) -> bool:
    """Say whether a word in lower case is a given name."""
    return word in _all_given()


def is_clearly_given(word: str) -> bool:
    """Say whether a word is a given name and hardly anything else, in lower case too."""
    return word in _words("given") and word not in _words("ambiguous")


def is_mostly_given(word: str) -> bool:
    """Say whether a word is a given name when it is capitalised within a sentence."""
    return word in _words("given")


def is_surname(word: str) -> bool:
    """Say whether a word in lower case is a frequent surname."""
    return word in _words("surnames")


def is_medicine(word: str) -> bool:
    """Say whether a word in lower case is a medicine or a diagnosis, by list or by its ending."""
    return word in _words("medicines") or (len(word) > 5 and _CLASS.fullmatch(word) is not None)


def is_listed_plain(word: str) -> bool:
    """Say whether a word in lower case is in the list of ordinary words, whatever its ending."""
    return word in _words("ordinary")


def is_plain(word: str) -> bool:
    """Say whether a word in lower case is an ordinary word, by list or by its ending, and no name of the lists."""
    if word in _words("ordinary"):
        return True
    return not is_given(word) and not is_surname(word) and _PLAIN.fullmatch(word) is not None
