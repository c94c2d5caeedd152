"""Whether a word can be a person's name, given what stands before it."""

from __future__ import annotations

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

PARTICLES = words_of("de del de la van von der den da dos bin ibn al el y mc mac o san st")
TITLES = words_of(
    "mr mister missus mrs ms miss mx dr prof professor doctor sir lady nurse sister sr sra srta señor señora señorita doctora don"
    " doña dra reverend fr"
)
_SURE_TITLES = words_of("mr mrs mister missus dr señor señora doctor doctora sra")  # before a name in lower case too
RELATIONS = words_of(
    "daughter son wife husband mum mom mam mother father dad brother sister nan nana nanna gran grandma grandad granddad grandpa"
    " grandson granddaughter grandmother grandfather partner boyfriend girlfriend friend mate neighbour neighbor baby boy girl kid"
    " child aunt auntie uncle niece nephew cousin fiance fiancé fiancée twin twins carer aide boss ex hijo hija esposo esposa marido"
    " mujer madre padre hermano hermana abuela abuelo abuelita novio novia vecino vecina niño niña nene nena bebé tía tío sobrino"
    " sobrina suegra suegro nieto nieta primo prima mamá papá amigo amiga jefe pharmacist driver technician manager cashier colleague"
    " courier client resident patient paciente farmacéutica farmacéutico repartidor family"
)
SPEAKS = words_of("speaking here calling ringing phoning aquí aqui")
GREETS = words_of("dear hi hello hey hiya hola estimado estimada querido querida aki aquí aqui")
_ADDRESSES = words_of("dear estimado estimada querido querida aki behalf under")  # before a name of no list too
CLOSES = words_of("thanks thank regards cheers sincerely best yours thx ta gracias saludos atentamente love")
STOPS = words_of(
    "tel mob mobile cell fax ph phone i and my the a subject re asunto hi hello dear thanks regards please mg ml nhs rx dob ssn uk"
    " usa ok tel email"
)
NOT_PEOPLE = words_of(
    "disease syndrome palsy street road avenue wort wort's house hospital pharmacy medical clinic branch surgery store station school"
)


def is_said_name(reading: Reading, index: int) -> bool:
    """Say whether a word can be a name after a strong cue: any word but a plain one."""
    word, lower = reading.words[index], bare(reading.words[index].lower)
    if any(map(str.isdigit, lower)) or (is_medicine(lower) and not is_given(lower)):
        return False
    if is_given(lower) or (is_surname(lower) and not is_plain(lower)):
        return True
    if len(lower) == 1:
        return word.text.isupper() and is_initial(reading, index)
    return not is_plain(lower) and lower not in STOPS and lower not in NUMBERS


def is_introduced(reading: Reading, index: int) -> bool:
    """Say whether a word can be a name after ``this is``, ``I'm``, ``it's`` or ``soy``."""
    word, lower = reading.words[index], bare(reading.words[index].lower)
    if is_medicine(lower) and not is_clearly_given(lower):
        return False
    if is_clearly_given(lower) or (word.text[:1].isupper() and is_mostly_given(lower)):
        return True
    after = next(
        (k for k in range(index + 1, min(len(reading.words), index + 4)) if reading.words[k].lower in SPEAKS | {"from"}),
        None,
    )
    known = is_given(lower) or not (is_plain(lower) or lower in STOPS or lower in NUMBERS or len(lower) < 3)
    if word.text[:1].isupper() and len(lower) > 2:
        return known
    if index + 1 < len(reading.words) and is_given(lower) and is_surname(bare(reading.words[index + 1].lower)):
        return True
    return known and after is not None and lower.isalpha() and reading.words[index - 1].lower not in {"it's", "its"}


def is_related(reading: Reading, index: int, gap: str) -> bool:
    """Say whether a word can be the name of somebody named by what they are: ``my daughter Anna``."""
    word, lower = reading.words[index], bare(reading.words[index].lower)
    if gap.strip(" ,(:\u00a0") or (is_medicine(lower) and not is_clearly_given(lower)) or lower in STOPS:
        return False
    if is_clearly_given(lower) or (is_mostly_given(lower) and not is_listed_plain(lower)):
        return True
    if not word.text[:1].isupper():
        return False
    return (
        is_given(lower)
        or (len(lower) > 2 and not is_plain(lower) and lower.replace("'", "").replace("-", "").isalpha())
        or is_initial(reading, index)
    )


def is_addressed(reading: Reading, index: int, cue: str) -> bool:
    """Say whether a capitalised word is a name after ``dear``, ``thanks``, ``for`` and the like."""
    word, lower = reading.words[index], bare(reading.words[index].lower)
    gap = reading.between(index - 1, index)
    if gap.strip(" ,-\u00a0") or is_medicine(lower) or lower in STOPS:
        return False
    if not word.text[:1].isupper():
        return cue in {"ask", "tell", "dear"} and is_mostly_given(lower) and not is_listed_plain(lower)
    if is_given(lower) and (is_mostly_given(lower) or cue in GREETS | CLOSES):
        return True
    collects = cue == "for" and index > 1 and reading.words[index - 2].lower in {"up", "collecting", "collect"}
    return (collects or cue in _ADDRESSES) and len(lower) > 2 and not is_plain(lower) and word.text.isalpha()


def name_after_title(reading: Reading, index: int, following: int) -> int | None:
    """Return the position of the name after a title, which may be an initial: ``Mr O. Petrov``."""
    word, lower = reading.words[following], bare(reading.words[following].lower)
    if (
        reading.between(index, following).strip(" .)\u00a0")
        or word.lower in TITLES | STOPS
        or (lower in NUMBERS and len(lower) > 1)
        or any(map(str.isdigit, lower))
    ):
        return None
    if is_clearly_given(lower) or (is_surname(lower) and not is_plain(lower)):
        return following
    if is_medicine(lower):
        return None
    if word.text[:1].isupper():
        titled = reading.words[index].text[:1].isupper()
        known = (titled and is_given(lower)) or not is_plain(lower)
        return following if known and (len(lower) > 2 or (titled and (len(lower) == 2 or is_initial(reading, following)))) else None
    return following if reading.words[index].lower in _SURE_TITLES and len(lower) > 2 and lower.isalpha() and not is_plain(lower) else None


def is_initial(reading: Reading, index: int) -> bool:
    """Say whether a word is an initial before a capitalised word: ``O. Petrov``."""
    word = reading.words[index]
    if len(word.text) != 1 or not word.text.isupper() or index + 1 >= len(reading.words):
        return False
    after = reading.words[index + 1]
    return reading.between(index, index + 1) in {". ", " ", "."} and after.text[:1].isupper() and not is_plain(after.lower)


def begins_sentence(reading: Reading, index: int) -> bool:
    """Say whether a word begins a sentence or a line, where a capital says nothing."""
    return index == 0 or bool(set(reading.between(index - 1, index)) & set(".!?:\n>-"))


def in_one_clause(reading: Reading, left: int, right: int) -> bool:
    """Say whether no sentence ends between two words."""
    return not set(reading.text[reading.words[left].end : reading.words[right].start]) & set(".;!?\n")


def is_joined(reading: Reading, index: int) -> bool:
    """Say whether a word follows the one before with no more than a space, or the full stop of an initial, between."""
    gap = reading.between(index - 1, index)
    return gap in {" ", "\u00a0"} or (gap in {". ", "."} and len(reading.words[index - 1].text) <= 2)


def bare(lower: str) -> str:
    """Return a word without the ``'s`` of what it owns."""
    return lower.removesuffix("'s")
