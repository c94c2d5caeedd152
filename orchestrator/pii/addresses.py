"""Postal addresses of the United Kingdom, the United States and Spain: street, flat, town, state and postcode as one span."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii import numerals
from orchestrator.pii.births import MONTHS
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import cities, is_clearly_given, is_given, is_medicine, is_plain
from orchestrator.pii.reading import Reading

_SURE = frozenset(
    "street st road rd avenue ave av lane ln boulevard blvd crescent cres terrace gardens gdns highway hwy parkway pkwy mews cottages"
    " cottage turnpike esplanade mansions".split()
)
_LIKELY = frozenset(
    "drive dr close court ct place pl way square sq grove row rise walk hill park circle cir trail loop view green yard villas house"
    " parade wharf quay gate plaza vale broadway".split()
)
_TYPES = _SURE | _LIKELY
_SPANISH = frozenset("calle avenida avda plaza pza paseo camino carretera ronda travesía travesia urbanización urbanizacion glorieta callejón rambla colonia".split())
_UNITS = frozenset("apt apartment unit suite ste flat floor piso puerta bajo no number número numero nº num planta portal escalera room bldg".split())
_SIDES = frozenset("n s e w ne nw se sw north south east west izquierda derecha izq dcha primero segundo tercero cuarto quinto sexto bajo ático interior".split())
_PARTICLES = frozenset("de del la las los el san santa y of on upon the le".split())
_STATES = frozenset(
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa"
    " wv wi wy dc".split()
)
_STATE_NAMES = frozenset(
    "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho illinois indiana iowa kansas kentucky"
    " louisiana maine maryland massachusetts michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon pennsylvania"
    " tennessee texas utah vermont virginia washington wisconsin wyoming scotland wales england".split()
)
# The inward part of a postcode never has C I K M O V (Royal Mail, "Programmers' guide"): "B12 5 mg" is none.
POSTCODE = re.compile(r"\b(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}|[a-z]{1,2}\d[a-z\d]? \d[abd-hjlnp-uw-z]{2})\b")
_ZIP = re.compile(r"\d{5}(?:-\d{4})?(?![\d/])")
_STATE_ZIP = re.compile(r"\b([A-Z]{2})\.?,? (\d{5}(?:-\d{4})?)(?![\d-])")
_BOX = re.compile(r"(?i)\b(?:p\.? ?o\.? box|apartado(?: de correos)?) \d{1,6}\b")
_ZIP_CUE = re.compile(r"(?i)\b(?:zip(?: code)?|post ?code|código postal|codigo postal|c\.p\.|cp)[ :,]{1,3}(?:(?:is|es|it's|el)[ :]{1,2}){0,2}(\d{5}(?:-\d{4})?)\b")
_NUMBER = re.compile(r"\d{1,5}(?:[a-z]|-\d{1,4}|[a-z]-\d)?")
_MOST_WORDS = 5  # of a street's name
_MOST_AFTER = 18  # words after a street: flat, town, state, a postcode said digit by digit


def find_addresses(reading: Reading) -> Iterator[Span]:
    """Yield addresses; overlapping ones are left to the caller."""
    if not reading.holds.isdisjoint(_TYPES):
        yield from _streets(reading)
    if not reading.holds.isdisjoint(_SPANISH) or ("c" in reading.holds and "/" in reading.text):
        yield from _spanish(reading)
    if not reading.has_digit:
        return
    for match in POSTCODE.finditer(reading.text):
        yield Span(_back(reading, match.start()), match.end(), Kind.ADDRESS)
    for match in _STATE_ZIP.finditer(reading.text):
        if match.group(1).lower() in _STATES:
            yield Span(_back(reading, match.start()), match.end(), Kind.ADDRESS)
    for match in _BOX.finditer(reading.text):
        yield Span(match.start(), _onward(reading, _word_at(reading, match.end())), Kind.ADDRESS)
    for match in _ZIP_CUE.finditer(reading.text):
        yield Span(match.start(1), match.end(1), Kind.ADDRESS)


def _streets(reading: Reading) -> Iterator[Span]:
    """Yield number, name and type of a street with what follows: ``12 Hollow Oak Road, Leeds LS1 4DP``."""
    words = reading.words
    for index, word in enumerate(words):
        if word.lower not in _TYPES or index == 0:
            continue
        if index + 1 < len(words) and words[index + 1].lower in _TYPES and reading.between(index, index + 1) == " ":
            continue  # "Hyde Park Road": the later word is the type
        first = index - 1
        while first > max(-1, index - 1 - _MOST_WORDS) and not _is_number(words[first].lower) and _streetlike(reading, first):
            first -= 1
        if first < 0 or not _is_number(words[first].lower) or first == index - 1 or not _same_line(reading, first, index):
            continue
        if not all(words[k].text[:1].isupper() for k in range(first + 1, index)) and (
            word.lower in _LIKELY and any(is_plain(words[k].lower) for k in range(first + 1, index))
        ):
            continue
        while first > 0 and _is_said(words[first - 1].lower) and _is_said(words[first].lower) and reading.between(first - 1, first) == " ":
            first -= 1
        yield Span(_unit_before(reading, first), _onward(reading, index + 1), Kind.ADDRESS)


def _spanish(reading: Reading) -> Iterator[Span]:
    """Yield Spanish streets, whose number comes last: ``calle Mayor 12, 2.º izquierda, 28013 Madrid``."""
    words = reading.words
    for index, word in enumerate(words):
        if word.lower not in _SPANISH and not (word.lower == "c" and reading.text[word.end : word.end + 1] == "/"):
            continue
        last = index + 1
        while last < min(len(words), index + 2 + _MOST_WORDS) and not _is_number(words[last].lower):
            last += 1
        if last < len(words) and _is_number(words[last].lower) and last > index + 1 and _same_line(reading, index, last):
            yield Span(word.start, _onward(reading, last + 1), Kind.ADDRESS)


def _onward(reading: Reading, index: int) -> int:
    """Return where the address ends whose street ends before a word: over flats, towns, states and postcodes."""
    words, end, towns = reading.words, reading.words[index - 1].end if index else 0, 0
    stop = min(len(words), index + _MOST_AFTER)
    while 0 < index < stop and _near(reading.text[words[index - 1].end : words[index].start]):
        word = words[index]
        gap = reading.text[words[index - 1].end : word.start]
        postcode = POSTCODE.match(reading.text, word.start)
        if postcode:
            return postcode.end()
        city = _city_at(reading, index)
        if city:
            index, towns = city, towns + 1
        elif word.lower in _UNITS and index + 1 < len(words) and _is_unit(words[index + 1].lower):
            index += 2
        elif word.lower in _UNITS | _SIDES and word.lower not in {"no", "number", "room"}:
            index += 1
        elif (word.text.isupper() and word.lower in _STATES and word.text.isalpha()) or word.lower in _STATE_NAMES:
            index, towns = index + 1, towns + 1
        elif _ZIP.match(reading.text, word.start) and (towns or "," in gap):
            index += 1
        elif _is_said(word.lower) and (towns or words[index - 1].lower in _SIDES):
            said = index
            while said < len(words) and _is_said(words[said].lower) and said - index < 6:
                said += 1
            if len(numerals.digits_of([one.lower for one in words[index:said]])) < 5:
                break
            index = said
        elif "#" in gap or (towns == 0 and _NUMBER.fullmatch(word.lower) and len(word.text) <= 3 and "," in gap):
            index += 1
        elif towns < 3 and _townlike(reading, index, gap):
            index, towns = _town_end(reading, index), towns + 1
        else:
            break
        end = words[index - 1].end
    return end


def _back(reading: Reading, start: int) -> int:
    """Return where the address begins that ends in a postcode: back over capitalised words, numbers and commas on one line."""
    index = _word_at(reading, start) - 1
    begin, steps = start, 0
    while index >= 0 and steps < 14 and _near(reading.text[reading.words[index].end : begin]):
        word = reading.words[index]
        if is_clearly_given(word.lower) and "," in reading.text[word.end : begin]:
            break  # "send it to Wilma, Croft 6"
        if is_medicine(word.lower) or not (word.text[:1].isupper() or _NUMBER.fullmatch(word.lower) or word.lower in _PARTICLES | _TYPES | _UNITS):
            break
        if is_plain(word.lower) and word.lower not in _TYPES | _UNITS | _SIDES | _PARTICLES and not word.text[:1].isupper():
            break
        begin, index, steps = word.start, index - 1, steps + 1
    while index + 1 < len(reading.words) and reading.words[index + 1].start < start and reading.words[index + 1].lower in _PARTICLES - {"the", "la", "el"}:
        index += 1
        begin = reading.words[index + 1].start if index + 1 < len(reading.words) else start
    return min(begin, start)


def _unit_before(reading: Reading, first: int) -> int:
    """Return where the address begins, a flat or a house name before its number included."""
    words = reading.words
    if first >= 2 and words[first - 2].lower in _UNITS - {"no", "number"} and _near(reading.between(first - 1, first)):
        return words[first - 2].start
    return words[first].start


def _city_at(reading: Reading, index: int) -> int | None:
    """Return the position after the town that begins with a word, the longest first, None where no known one does."""
    for count in (4, 3, 2, 1):
        if " ".join(word.lower for word in reading.words[index : index + count]) in cities():
            return min(index + count, len(reading.words))
    return None


def _townlike(reading: Reading, index: int, gap: str) -> bool:
    word = reading.words[index]
    if is_plain(word.lower) or is_medicine(word.lower) or not word.lower.replace("-", "").replace("'", "").isalpha():
        return word.text[:1].isupper() and "," in gap and word.lower in {"north", "south", "east", "west", "little", "great", "back"}
    return word.text[:1].isupper() or (gap == " " and not is_given(word.lower) and len(word.lower) > 3)


def _town_end(reading: Reading, index: int) -> int:
    last = index + 1
    capital = reading.words[index].text[:1].isupper()
    while last < min(len(reading.words), index + 5) and reading.between(last - 1, last) in {" ", "-"}:
        word = reading.words[last]
        joins = word.lower in _PARTICLES and last + 1 < len(reading.words)
        proper = capital and word.text[:1].isupper() and word.lower not in _STATES and not POSTCODE.match(reading.text, word.start) and word.text.isalpha()
        if not (joins and (capital or word.lower in {"de", "on", "upon"})) and not proper and not (last > index + 1 and reading.words[last - 1].lower in _PARTICLES):
            break
        last += 1
    return last - 1 if reading.words[last - 1].lower in _PARTICLES and last - 1 > index else last


def _streetlike(reading: Reading, index: int) -> bool:
    word = reading.words[index]
    if word.lower in MONTHS:
        return False
    if word.text[:1].isupper() or word.lower in _SIDES | {"saint", "st", "old", "new", "high", "church", "station", "mill", "main"}:
        return True
    return word.lower not in _NEVER and "'" not in word.lower and not is_medicine(word.lower) and len(word.lower) > 1


_NEVER = frozenset(
    "a an and the on in at to of off for from by with my your his her our their it is was are be down up into out this that mg ml mcg tablet"
    " tablets pill pills times time minutes minute hours hour days day weeks week months years miles yards people pounds dollars or not no i"
    " you he she we they get got take took half all one's more left right across along wrong each per every".split()
)


def _same_line(reading: Reading, first: int, last: int) -> bool:
    between = reading.text[reading.words[first].end : reading.words[last].start]
    return not set(between) & set("\n;!?:")


def _near(gap: str) -> bool:
    return len(gap) <= 4 and not gap.strip(" ,.\u00a0#\n\u00ba\u00aa-") and gap.count("\n") <= 1 and not gap.startswith(". ") or gap in {". ", ".\u00ba "}


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None or _is_said(word)


def _is_said(word: str) -> bool:
    return word in numerals.WORDS and word not in {"o", "oh", "una", "double", "doble", "triple"}


def _is_unit(word: str) -> bool:
    return _is_number(word) or len(word) <= 3


def _word_at(reading: Reading, start: int) -> int:
    low, high = 0, len(reading.words)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if reading.words[middle].start < start else (low, middle)
    return low
