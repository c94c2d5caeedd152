"""Mechanical perturbations: a message as a hurried hand, another keyboard or a speech recogniser would have it. Pure.

Each takes a text and a random generator and returns another text that means the same: never the same text where it has a
letter that can be changed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "k": "jl", "l": "k", "m": "n",
    "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "y": "tu",
}  # fmt: skip
_LOOKALIKES = dict(zip("aceopxyiAEOPCTHKMB", "асеорхуіАЕОРСТНКМВ", strict=True))  # noqa: RUF001  # Cyrillic on purpose
_ZERO_WIDTH = "\u200b"
_FILLERS = ("um", "uh", "er", "like", "you know", "so")
_HOMOPHONES = {
    "to": "too", "too": "to", "their": "there", "there": "their", "for": "four", "your": "you're", "its": "it's", "know": "no",
    "right": "write", "here": "hear", "two": "to", "by": "buy", "wait": "weight", "week": "weak", "won": "one",
}  # fmt: skip
_NUMBERS = dict(zip("0123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True))


def typos(text: str, rng: random.Random) -> str:
    """Slip about one word in six: a letter dropped, doubled, swapped, or its neighbour hit. Numbers stay."""
    words = re.split(r"(\s+)", text)
    able = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for i in rng.sample(able, max(1, len(able) // 6)) if able else ():
        words[i] = _slip(words[i], rng)
    slipped = "".join(words)
    return slipped if slipped != text else text + text[-1]


def casing(text: str, rng: random.Random) -> str:
    """Write all in capitals, all in small letters, or as a broken shift key would."""
    styles: list[Callable[[str], str]] = [
        str.upper,
        str.lower,
        lambda t: "".join(c.upper() if rng.random() < 0.3 else c.lower() for c in t),
    ]
    rng.shuffle(styles)
    return next((changed for style in styles if (changed := style(text)) != text), text.swapcase())


def whitespace(text: str, rng: random.Random) -> str:
    """Spread spaces, tabs, line breaks and no-break spaces between the words, and around the whole."""
    gaps = ("  ", "\t", "\n", "\u00a0", "   ")
    return rng.choice((" ", "\n", "  ")) + re.sub(r"[ \n]", lambda m: rng.choice(gaps) if rng.random() < 0.3 else m.group(), text) + " "


def homoglyphs(text: str, rng: random.Random) -> str:
    """Replace about a sixth of the letters that have a Cyrillic twin, and slip in a zero-width space."""
    places = [i for i, c in enumerate(text) if c in _LOOKALIKES]
    chosen = set(rng.sample(places, max(1, len(places) // 6)) if places else ())
    replaced = "".join(_LOOKALIKES[c] if i in chosen else c for i, c in enumerate(text))
    at = rng.randrange(1, len(text)) if len(text) > 1 else 1
    return replaced[:at] + _ZERO_WIDTH + replaced[at:]


def asr(text: str, rng: random.Random) -> str:
    """Say it to a speech recogniser: no punctuation, no capitals, fillers, repeats, homophones, digits as words."""
    spoken = re.sub(r"(?<=\d)[.,](?=\d)", " point ", re.sub(r"^subject:", "", text, flags=re.IGNORECASE))
    spoken = re.sub(r"\d", lambda m: f" {_NUMBERS[str(int(m.group()))]} ", spoken)  # any script's digit
    words = re.sub(r"[^\w\s']|_", " ", spoken).lower().split()
    heard: list[str] = []
    for word in words:
        chance = rng.random()
        if chance < 0.06:
            heard.append(rng.choice(_FILLERS))
        elif chance < 0.10:
            heard.append(word)
        heard.append(_HOMOPHONES.get(word, word) if rng.random() < 0.3 else word)
    said = " ".join(heard)
    return said if said not in {"", text} else f"um {said}".strip()


MECHANICAL: dict[str, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "casing": casing,
    "whitespace": whitespace,
    "homoglyphs": homoglyphs,
    "asr": asr,
}


def _slip(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.choice(("drop", "double", "swap", "neighbour"))
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    near = _NEIGHBOURS.get(word[at].lower(), word[at])
    return word[:at] + rng.choice(near) + word[at + 1 :]
