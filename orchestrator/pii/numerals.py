"""Numbers said in words, English and Spanish: ``oh seven double five -> 0755``."""

from __future__ import annotations

_UNITS = (
    ("zero", "oh", "o", "nought", "cero"),
    ("one", "uno", "una"),
    ("two", "dos"),
    ("three", "tres"),
    ("four", "cuatro"),
    ("five", "cinco"),
    ("six", "seis"),
    ("seven", "siete"),
    ("eight", "ocho"),
    ("nine", "nueve"),
)
_TEENS = (
    ("ten", "diez"),
    ("eleven", "once"),
    ("twelve", "doce"),
    ("thirteen", "trece"),
    ("fourteen", "catorce"),
    ("fifteen", "quince"),
    ("sixteen", "dieciséis", "dieciseis"),
    ("seventeen", "diecisiete"),
    ("eighteen", "dieciocho"),
    ("nineteen", "diecinueve"),
)
_TENS = (
    ("twenty", "veinte"),
    ("thirty", "treinta"),
    ("forty", "cuarenta"),
    ("fifty", "cincuenta"),
    ("sixty", "sesenta"),
    ("seventy", "setenta"),
    ("eighty", "ochenta"),
    ("ninety", "noventa"),
)
_TWENTIES = (
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
)
UNITS = {word: str(value) for value, words in enumerate(_UNITS) for word in words}
TWO_DIGITS = (
    {word: str(10 + value) for value, words in enumerate(_TEENS) for word in words}
    | {word: f"{value}0" for value, words in enumerate(_TENS, 2) for word in words}
    | {word.translate(str.maketrans("óé", "oe")): str(21 + value) for value, word in enumerate(_TWENTIES)}
    | {word: str(21 + value) for value, word in enumerate(_TWENTIES)}
)
REPEATS = {"double": 2, "doble": 2, "triple": 3, "treble": 3}
HUNDREDS = {"hundred": "00", "thousand": "000", "cientos": "00"}
HUNDRED_WORDS = {
    word: f"{value}00"
    for value, word in enumerate(("cien", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos"), 1)
} | {"ciento": "100", "ochocientos": "800", "novecientos": "900"}
WORDS = frozenset(UNITS) | frozenset(TWO_DIGITS) | frozenset(REPEATS) | frozenset(HUNDREDS) | frozenset(HUNDRED_WORDS)


def digits_of(words: list[str]) -> str:
    """Return the digits that words and numerals say one after another; what is no number says nothing."""
    said, times = "", 1
    tens = False  # whether the last word was a round ten, which a unit completes: "twenty three" is 23
    for word in (part for one in words for part in one.split("-")):
        if word in REPEATS:
            times, tens = REPEATS[word], False
            continue
        if word in UNITS or (word.isascii() and word.isdigit()):
            value = UNITS.get(word, word)
            said = said[:-1] + value if tens and len(value) == 1 and value != "0" else said + value * times
        else:
            said += TWO_DIGITS.get(word) or HUNDREDS.get(word) or HUNDRED_WORDS.get(word, "")
        tens, times = (word in TWO_DIGITS and TWO_DIGITS[word][1] == "0" and word not in {"ten", "diez"}) or (tens and word == "y"), 1
    return said
