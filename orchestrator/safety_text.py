"""Read a message as plain lower-case words, whatever alphabet tricks, accents and marks it came with."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

# Longer texts are cut: reading takes time in proportion to the length, and a bound makes the cost of any input plain.
MAX_CHARS = 20_000
BREAK = "."  # what stands among the words where a sentence ends

# Letters of other alphabets that look like Latin ones; NFKC has brought full-width and mathematical letters home by then.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһӏԛԝвкмнтαεορτυικνχ’‘ʼ`´′ı",  # noqa: RUF001  # as above
    "aeopcyxijsdhlqwbkmhtaeoptuiknx''''''i",
)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_TOKEN = re.compile(r"\d+[.,]\d+|[\w'$@]+|[.!?;¿¡…]|\n[ \t]*\n|[,:()\n\u2013\u2014-]")
_LEET = str.maketrans("013457$@", "oieastsa")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_SOFT = frozenset(",:()\n\u2013\u2014-")  # pauses within a sentence; the two escapes are the long dashes


class Words(NamedTuple):
    """The words of a message in order, sentence ends among them; bit i of ``pauses`` is set where a comma or dash stands before word i."""

    words: list[str]
    breaks: int  # bit i is set where word i is a sentence end
    pauses: int


def read_words(text: str) -> Words:
    """Return the words of the first ``MAX_CHARS`` characters: folded to plain letters, without apostrophes."""
    words: list[str] = []
    breaks = pauses = 0
    for piece in _TOKEN.findall(fold(text[:MAX_CHARS])):
        if piece[0].isalnum() or (len(piece) > 1 and piece.strip()):
            if word := piece.replace("'", ""):
                words.append(word)
        elif piece in _SOFT:
            pauses |= 1 << len(words)
        elif words and words[-1] != BREAK and piece not in "'$@_":
            breaks |= 1 << len(words)
            words.append(BREAK)
    return Words(words, breaks, pauses)


def fold(text: str) -> str:
    """Return the text in lower case, with compatibility forms, accents, lookalikes and invisible characters brought to plain letters."""
    if text.isascii():
        return text.lower()
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().translate(_LOOKALIKES)
    return "".join(letter for letter in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(letter))


def unleet(word: str) -> str:
    """Return a word with drawn-out letters cut short, and with digits and signs among its letters read as what they look like."""
    if any(letter.isalpha() for letter in word):
        word = word.translate(_LEET)
    return _DRAWN_OUT.sub(r"\1\1", word)
