"""Where an address ends that began with a street: over flats, towns, states and postcodes."""

from __future__ import annotations

import re

from orchestrator.pii import address_words as aw
from orchestrator.pii import numerals
from orchestrator.pii.lexicon import cities, is_given, is_medicine, is_plain, words_of
from orchestrator.pii.reading import Reading

_ZIP = re.compile(r"\d{5}(?:-\d{4})?(?![\d/])")
_WORDS_TOO = words_of("in or me hi ok la de oh id ma pa al co va mo")  # states that are words in lower case
_MOST_TOWNS = 3  # village, town, county
_MOST_SAID = 9  # words of a postcode
_MOST_AFTER = 18  # words after a street: flat, town, state, a postcode said digit by digit


def end_of_address(reading: Reading, index: int) -> int:
    """Return where the address ends whose street ends before a word: over flats, towns, states and postcodes."""
    words, towns = reading.words, 0
    end, stop = words[index - 1].end if index else 0, min(len(words), index + _MOST_AFTER)
    while 0 < index < stop and aw.is_near(reading.between(index - 1, index)):
        postcode = aw.POSTCODE.match(reading.text, words[index].start)
        if postcode:
            return postcode.end()
        after = _after_flat(reading, index, towns)
        if after is None:
            after = _after_town(reading, index, towns)
            towns += 1
        if after is None:
            break
        index, end = after, words[after - 1].end
    return end


def after_said_postcode(reading: Reading, index: int) -> int | None:
    """Return the position after a postcode said letter by letter, ``l s one four d p``, or a ZIP digit by digit; else None."""
    words, said, best = reading.words, "", None
    for last in range(index, min(len(words), index + _MOST_SAID)):
        lower = words[last].lower
        if lower in numerals.WORDS:
            said += numerals.digits_of([lower])
        elif len(lower) == 1 or (lower.isdigit() and len(lower) <= 5):
            said += lower.upper()
        else:
            break
        if (said.isdigit() and len(said) == 5) or aw.POSTCODE.fullmatch(said):
            best = last + 1
    return best


def _after_flat(reading: Reading, index: int, towns: int) -> int | None:
    """Return the position after a flat, a floor, a side or a postcode, None where a word is none of them."""
    words, word = reading.words, reading.words[index]
    gap = reading.between(index - 1, index)
    if word.lower in aw.UNITS and index + 1 < len(words) and _is_unit(words[index + 1].lower):
        return index + 2
    if word.lower in (aw.UNITS | aw.SIDES) - {"no", "number", "room"}:
        return index + 1
    if _ZIP.match(reading.text, word.start) and (towns or "," in gap):
        return index + 1
    if "#" in gap or (towns == 0 and aw.NUMBER.fullmatch(word.lower) and len(word.text) <= 3 and "," in gap):
        return index + 1
    if len(word.text) == 1 and words[index - 1].lower in aw.SIDES:
        return index + 1  # "tercero b"
    return after_said_postcode(reading, index)


def _after_town(reading: Reading, index: int, towns: int) -> int | None:
    """Return the position after a town or a state, None where a word is neither."""
    word = reading.words[index]
    city = _city_at(reading, index)
    if city:
        return city
    if (word.text.isupper() and word.text.isalpha() and word.lower in aw.STATES) or word.lower in aw.STATE_NAMES:
        return index + 1
    if towns and word.lower in aw.STATES - _WORDS_TOO and word.text.isalpha():
        return index + 1
    if towns < _MOST_TOWNS and _townlike(reading, index, reading.between(index - 1, index)):
        return _town_end(reading, index)
    return None


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
        joins = word.lower in aw.PARTICLES and last + 1 < len(reading.words)
        proper = (
            capital
            and word.text[:1].isupper()
            and word.lower not in aw.STATES
            and not aw.POSTCODE.match(reading.text, word.start)
            and word.text.isalpha()
        )
        if (
            not (joins and (capital or word.lower in {"de", "on", "upon"}))
            and not proper
            and not (last > index + 1 and reading.words[last - 1].lower in aw.PARTICLES)
        ):
            break
        last += 1
    return last - 1 if reading.words[last - 1].lower in aw.PARTICLES and last - 1 > index else last


def _is_unit(word: str) -> bool:
    return aw.is_number(word) or len(word) <= 3
