"""The words and numbers addresses are made of, in English and Spanish."""

from __future__ import annotations

import re

from orchestrator.pii import numerals
from orchestrator.pii.lexicon import words_of
from orchestrator.pii.reading import Reading

SURE = words_of(
    "street st road rd avenue ave av lane ln boulevard blvd crescent cres terrace gardens gdns highway hwy parkway pkwy mews cottages"
    " cottage turnpike esplanade mansions"
)
LIKELY = words_of(
    "drive dr close court ct place pl way square sq grove row rise walk hill park circle cir trail loop view green yard villas house"
    " parade wharf quay gate plaza vale broadway"
)
TYPES = SURE | LIKELY
HOUSES = words_of("cottage house lodge farm barn hall mill forge villa manor rectory vicarage grange bungalow chapel croft towers court")
SPANISH = words_of(
    "calle avenida avda plaza pza paseo camino carretera ronda travesía travesia urbanización urbanizacion glorieta callejón rambla colonia"
)
UNITS = words_of(
    "apt apartment unit suite ste flat floor piso puerta bajo no number número numero nº num planta portal apartamento apto"
    " departamento depto edificio torre bloque escalera room bldg"
)
SIDES = words_of(
    "n s e w ne nw se sw north south east west izquierda derecha izq dcha primero segundo tercero cuarto quinto sexto bajo ático interior"
)
PARTICLES = words_of("de del la las los el san santa y of on upon the le")
STATES = words_of(
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri sc sd tn tx"
    " ut vt va wa wv wi wy dc"
)
STATE_NAMES = words_of(
    "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho illinois indiana iowa"
    " kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri montana nebraska nevada ohio"
    " oklahoma oregon pennsylvania tennessee texas utah vermont virginia washington wisconsin wyoming scotland wales england"
)
# The inward part of a postcode never has C I K M O V (Royal Mail, "Programmers' guide to PAF"): "B12 5 mg" is none.
POSTCODE = re.compile(r"\b(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}|[a-z]{1,2}\d[a-z\d]? \d[abd-hjlnp-uw-z]{2})\b")
NUMBER = re.compile(r"\d{1,5}(?:[a-z]|[ºª][a-z]?|-\d{1,4}|[a-z]-\d)?")
NEVER = words_of(
    "a an and the on in at to of off for from by with my your his her our their it is was are be down up into out this that mg ml mcg"
    " tablet tablets pill pills times time minutes minute hours hour days day weeks week months years miles yards people pounds"
    " dollars or not no i you he she we they get got take took half all one's more left right across along wrong each per every"
)


def is_number(word: str) -> bool:
    """Say whether a word is a house number, written or said."""
    return NUMBER.fullmatch(word) is not None or is_said(word)


def is_said(word: str) -> bool:
    """Say whether a word is a number said, and no word of another meaning."""
    return word in numerals.WORDS and word not in {"o", "oh", "una", "double", "doble", "triple"}


def is_near(gap: str) -> bool:
    """Say whether no more than commas, one line break or an abbreviation's full stop stand between two words."""
    if gap in {". ", ".\u00ba "}:
        return True
    return len(gap) <= 4 and not gap.strip(" ,.\u00a0#\n\u00ba\u00aa-") and gap.count("\n") <= 1 and not gap.startswith(". ")


def word_at(reading: Reading, start: int) -> int:
    """Return the position of the first word that begins at a place or after it."""
    low, high = 0, len(reading.words)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if reading.words[middle].start < start else (low, middle)
    return low
