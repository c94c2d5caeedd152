"""Numbers as they are said: "four four one two" is 4412, "thirty two" is 32."""

from __future__ import annotations

import re

DIGIT_WORDS = {
    "zero": "0", "oh": "0", "nought": "0", "cero": "0", "one": "1", "uno": "1", "two": "2", "dos": "2", "three": "3", "tres": "3",
    "four": "4", "cuatro": "4", "five": "5", "cinco": "5", "six": "6", "seis": "6", "seven": "7", "siete": "7", "eight": "8", "ocho": "8",
    "nine": "9", "nueve": "9",
}  # fmt: skip
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SMALL = {word: n for n, word in enumerate((*UNITS, *_TEENS), start=1)} | {word: 20 + 10 * n for n, word in enumerate(TENS)}

_ANY_UNIT, _ANY_TENS = "|".join(UNITS), "|".join(TENS)
BELOW_100 = rf"(?:(?:{_ANY_TENS})(?:[ -](?:{_ANY_UNIT}))?|{'|'.join(reversed(_TEENS))}|{_ANY_UNIT})"
NUMBER = rf"(?:(?:{BELOW_100}|a) (?:hundred|thousand)(?: (?:and )?(?:(?:{_ANY_UNIT}) hundred (?:and )?)?{BELOW_100})?|{BELOW_100})"
DIGITS = rf"(?:(?:double |triple )?(?:{'|'.join(DIGIT_WORDS)}))"


def digits(said: str) -> str:
    """Return the digits read out one by one ("double four oh" is 440); what is no digit's name is left out."""
    found, times = [], 1
    for word in re.findall(r"\w+", said.lower()):
        if word in DIGIT_WORDS:
            found.append(DIGIT_WORDS[word] * times)
        times = {"double": 2, "triple": 3}.get(word, 1)
    return "".join(found)


def number(said: str) -> int:
    """Return the whole number named by English words ("one hundred and eighty" is 180)."""
    whole, part = 0, 0
    for word in re.findall(r"\w+", said.lower()):
        if word in {"hundred", "thousand"}:
            factor = 100 if word == "hundred" else 1000
            whole, part = (whole, max(part, 1) * factor) if factor == 100 else ((whole + max(part, 1)) * factor, 0)
        else:
            part += _SMALL.get(word, 0)
    return whole + part
