"""Tell whether a customer is to be asked in Spanish or in English, by the small words that hold a sentence together."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "es"]

_WORD = re.compile(r"[^\W\d_]+")
# Words of both languages ("me", "no") are in both sets or in none.
_SPANISH_WORDS = """
    el la los las un una unos del al que de y en mi mis su sus me se lo le les por para con sin pero es son está estoy ya qué dónde cuándo
    cómo hola buenas buenos gracias favor quiero necesito tengo puede pueden mañana ayer hoy señor señora usted como donde cuando este esta
    pedido receta cita también muy más"""
_ENGLISH_WORDS = """
    the a an of and in my your is are was to for with without but not please thanks hi hello i you it this that have has can do on
    at from be me when where how what we they he she if so just need want"""
_SPANISH, _ENGLISH = frozenset(_SPANISH_WORDS.split()), frozenset(_ENGLISH_WORDS.split())


def language_of(text: str) -> Language:
    """Return ``es`` where Spanish words outnumber English ones (those of both languages count for both), else ``en``."""
    words = _WORD.findall(text.lower())
    return "es" if sum(word in _SPANISH for word in words) > sum(word in _ENGLISH for word in words) else "en"
