"""Names of people, by what stands around them: ``my name is john smith``, ``Mrs Hooper``, ``our Stephen``, ``Priya at the front``."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.pii import name_words as nw
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import (
    is_clearly_given,
    is_given,
    is_listed_plain,
    is_medicine,
    is_mostly_given,
    is_plain,
    is_surname,
    words_of,
)
from orchestrator.pii.numerals import WORDS as NUMBERS
from orchestrator.pii.reading import Reading

_MOST_WORDS = 5  # of a name, particles included
_SAYS_NAME = frozenset({"name", "surname", "names", "nombre", "apellido", "apellidos", "name's", "names's", "surname's"})
_INTRODUCES = frozenset({"i'm", "im", "it's", "its", "soy", "is", "am", "habla"})
_CALLED = frozenset({"llamo", "llama", "named", "called"})
_IS = words_of("is was es it's its de should be as um uh of completo completa on the my account order prescription here para en la cuenta")
_SPEAKS_OF = frozenset({"for", "para", "behalf", "of", "with", "ask", "tell", "under", "from"})
_MEETS = words_of(
    "spoke speak spoken speaking talk talked talking served signed seen prescribed attended handled dealt addressed registered"
)
_PERSONS_DO = words_of("said told says rang phoned promised asked explained signed wrote insisted spoke spotted who dijo llamó")
_OWNED = words_of(
    "tablets tabs prescription prescriptions meds medication medicine order inhaler account insulin name mum mom dad wife husband son"
    " daughter pills script refill parcel delivery appointment number address record records"
)
_CUES = _SAYS_NAME | nw.TITLES | nw.RELATIONS | nw.GREETS | nw.CLOSES | _INTRODUCES | _SPEAKS_OF | _CALLED | {"our", "to", "by"}
_SAINTS = frozenset({"st", "saint", "san", "santa"})


def find_names(reading: Reading) -> Iterator[Span]:
    """Yield names; overlapping ones are left to the caller."""
    speaks = not (nw.SPEAKS | _PERSONS_DO).isdisjoint(reading.holds)
    for index, (written, lower, start, _) in enumerate(reading.words):
        first = _after_cue(reading, index, lower) if lower in _CUES else None
        if first is not None:
            yield Span(reading.words[first].start, _end(reading, first), Kind.NAME)
        elif is_given(lower[:-2] if lower[-2:] == "'s" else lower):
            if _stands_alone(reading, index):
                yield Span(start, _end(reading, index), Kind.NAME)
        elif (speaks or written[0].isupper()) and _speaks_for_itself(reading, index):
            yield Span(start, _end(reading, index), Kind.NAME)


def _after_cue(reading: Reading, index: int, lower: str) -> int | None:
    """Return the position of the first word of the name that a cue at this word speaks of, None where it is no cue or no name follows."""
    words, following = reading.words, index + 1
    if lower in _SAYS_NAME:
        return _after_name_is(reading, index)
    if following >= len(words) or "\n" in reading.between(index, following):
        return None
    if lower in nw.TITLES:
        return nw.name_after_title(reading, index, following)
    if lower in nw.RELATIONS or (lower == "our" and words[following].text[:1].isupper()):
        return _after_relation(reading, index)
    before = words[index - 1].lower if index else ""
    if lower in {"to", "with", "by"} and before in _MEETS:
        return following if nw.is_related(reading, following, reading.between(index, following)) else None
    if lower in _CALLED:
        fits = nw.is_said_name(reading, following)
    elif (lower == "is" and before == "this") or (lower == "am" and before == "i") or lower in _INTRODUCES - {"is", "am"}:
        fits = nw.is_introduced(reading, following)
    else:
        fits = lower in nw.GREETS | nw.CLOSES | _SPEAKS_OF and nw.is_addressed(reading, following, lower)
    return following if fits else None


def _after_name_is(reading: Reading, index: int) -> int | None:
    """Return the position of the name after "name", whatever stands for "is" between: ``the last name should be Ash``."""
    following, stop = index + 1, min(len(reading.words), index + 6)
    while following < stop and reading.words[following].lower in _IS:
        following += 1
    if following >= len(reading.words) or "," in reading.between(index, index + 1) or not nw.in_one_clause(reading, index, following):
        return None
    return following if nw.is_said_name(reading, following) else None


def _after_relation(reading: Reading, index: int) -> int | None:
    """Return the position of the name after a relation: ``my daughter Anna``, ``my son is called Todd``."""
    words, following = reading.words, index + 1
    if words[following].lower in _CALLED | {"is", "se"} and following + 1 < len(words):
        following += 1 + (words[following + 1].lower in _CALLED and following + 2 < len(words))
    return following if nw.is_related(reading, following, reading.between(following - 1, following)) else None


def _end(reading: Reading, first: int) -> int:
    """Return where the name ends that begins with a word."""
    words = reading.words
    last = first
    while last + 1 < len(words) and last + 1 - first < _MOST_WORDS and nw.is_joined(reading, last + 1) and not _owns(words[last].lower):
        if _continues(reading, first, last + 1):
            last += 1
        elif (
            words[last + 1].lower in nw.PARTICLES
            and (last > first or words[first].text[:1].isupper() or is_given(words[first].lower))
            and last + 2 < len(words)
            and nw.is_joined(reading, last + 2)
            and (
                _continues(reading, first, last + 2) and (words[last + 2].text[:1].isupper() or is_surname(nw.bare(words[last + 2].lower)))
            )
        ):
            last += 2
        else:
            break
    end = words[last].end
    if _owns(words[last].lower):
        return end - 2
    initial = len(words[last].text) == 1 and words[last].text.isupper() and reading.text[end : end + 1] == "."
    return end + 1 if initial and last > first else end


def _continues(reading: Reading, first: int, index: int) -> bool:
    """Say whether a word goes on with the name that began at another."""
    word, lower = reading.words[index], nw.bare(reading.words[index].lower)
    if lower in nw.STOPS or is_medicine(lower) or any(map(str.isdigit, lower)) or lower in nw.NOT_PEOPLE:
        return False
    if reading.words[first].text[:1].isupper():
        if word.text.isupper() and len(lower) > 1 and not reading.words[first].text.isupper() and not is_surname(lower):
            return False  # "Darnell Hughes MRN"
        return word.text[:1].isupper() and (is_surname(lower) or is_given(lower) or not is_listed_plain(lower) or len(lower) == 1)
    if is_surname(lower) or is_clearly_given(lower):
        return True
    return (
        len(lower) > 2 and not is_plain(lower) and lower not in NUMBERS and lower not in nw.SPEAKS and "'" not in lower.removeprefix("o'")
    )


def _stands_alone(reading: Reading, index: int) -> bool:
    """Say whether a given name is one without any cue."""
    word, lower = reading.words[index], nw.bare(reading.words[index].lower)
    if not is_mostly_given(lower):
        return _has_surname(reading, index) or _speaks_for_itself(reading, index)
    before = reading.words[index - 1].lower if index else ""
    if before in _SAINTS or is_medicine(lower):
        return False
    if index + 1 < len(reading.words) and reading.words[index + 1].lower in nw.NOT_PEOPLE and reading.between(index, index + 1) == " ":
        return False
    if is_clearly_given(lower):
        return True
    if word.text[:1].isupper() and not nw.begins_sentence(reading, index):
        return True
    return _has_surname(reading, index) or _speaks_for_itself(reading, index)


def _has_surname(reading: Reading, index: int) -> bool:
    """Say whether a capitalised word that may be a name has a surname, or a capitalised unknown word, beside it."""
    word = reading.words[index]
    if index + 1 >= len(reading.words) or not nw.is_joined(reading, index + 1):
        return False
    after = reading.words[index + 1]
    lower = nw.bare(after.lower)
    if not word.text[:1].isupper():
        return is_surname(lower) and not is_plain(lower) and not is_given(lower)
    return (
        after.text[:1].isupper()
        and not after.text.isupper()
        and not is_plain(lower)
        and not is_medicine(lower)
        and lower not in nw.NOT_PEOPLE | nw.STOPS
    )


def _speaks_for_itself(reading: Reading, index: int) -> bool:
    """Say whether a word is a name because of what follows: ``Chus aquí``, ``Thandi Smith``, ``Oyelaran said``, ``Xiu's tablets``."""
    word, after = reading.words[index], index + 1
    capital, following = word.text[0].isupper(), reading.words[after].lower if after < len(reading.words) else ""
    if not (capital or following in nw.SPEAKS or following in _PERSONS_DO) or not following or not nw.is_joined(reading, after):
        return False
    lower = nw.bare(word.lower)
    if (
        is_plain(lower)
        or is_medicine(lower)
        or lower in nw.STOPS
        or len(lower) < 2
        or not lower.replace("'", "").replace("-", "").isalpha()
    ):
        return False
    if not capital:
        return is_given(lower) and (following in nw.SPEAKS or is_mostly_given(lower))
    if reading.words[after].text[0].isupper() and is_surname(nw.bare(following)) and not is_plain(nw.bare(following)):
        return True
    if _owns(word.lower):
        return following in _OWNED
    return following in nw.SPEAKS or following in _PERSONS_DO or (index == 0 and following in {"otra", "again"})


def _owns(lower: str) -> bool:
    return lower.endswith("'s")
