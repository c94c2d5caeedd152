"""Names of people, by what stands around them: ``my name is john smith``, ``Mrs Hooper``, ``our Stephen``, ``Priya at the front``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import is_clearly_given, is_given, is_listed_plain, is_medicine, is_mostly_given, is_plain, is_surname
from orchestrator.pii.numerals import WORDS as NUMBERS
from orchestrator.pii.reading import Reading

_LETTERS = re.compile(r"(?<![^\W_])[^\W\d_][ .,-]{1,2}[^\W\d_](?![^\W_])")  # two letters that stand alone
_MOST_WORDS = 5  # of a name, particles included
_PARTICLES = frozenset("de del de la van von der den da dos bin ibn al el y mc mac o san st".split())
_TITLES = frozenset("mr mrs ms miss mx dr prof professor doctor sir lady nurse sister sr sra srta señor señora señorita doctora don doña dra reverend fr".split())
_RELATIONS = frozenset(
    "daughter son wife husband mum mom mam mother father dad brother sister nan nana nanna gran grandma grandad granddad grandpa grandson granddaughter"
    " grandmother grandfather partner boyfriend girlfriend friend mate neighbour neighbor baby boy girl kid child aunt auntie uncle niece nephew cousin"
    " fiance fiancé fiancée twin twins carer aide boss ex hijo hija esposo esposa marido mujer madre padre hermano hermana abuela abuelo abuelita"
    " novio novia vecino vecina niño niña nene nena bebé tía tío sobrino sobrina suegra suegro nieto nieta primo prima mamá papá amigo amiga jefe"
    " pharmacist driver technician manager cashier colleague courier client resident patient paciente farmacéutica farmacéutico repartidor family".split()
)
_SPEAKS = frozenset("speaking here calling ringing phoning aquí aqui".split())
_GREETS = frozenset("dear hi hello hey hiya hola estimado estimada querido querida aki aquí aqui".split())
_CLOSES = frozenset("thanks thank regards cheers sincerely best yours thx ta gracias saludos atentamente love".split())
_LETTER_CUES = frozenset("spelled spelt spell spelling that's thats surname name letras deletreo deletreado escribe apellido it's".split())
_STOPS = frozenset("i and my the a subject re asunto hi hello dear thanks regards please mg ml nhs rx dob ssn uk usa ok tel email".split())
_SAYS_NAME = frozenset({"name", "surname", "names", "nombre", "apellido", "apellidos", "name's", "names's", "surname's"})
_INTRODUCES = frozenset({"i'm", "im", "it's", "its", "soy", "is", "am"})
_SPEAKS_OF = frozenset({"for", "para", "behalf", "of", "with", "ask", "tell", "under", "from"})
_CUES = _SAYS_NAME | _TITLES | _RELATIONS | _GREETS | _CLOSES | _INTRODUCES | _SPEAKS_OF | {"llamo", "llama", "named", "our"}
_DISEASES = frozenset("disease syndrome palsy street road avenue wort wort's house hospital pharmacy medical clinic branch surgery store station school".split())
_SAINTS = frozenset({"st", "saint", "san", "santa"})


def find_names(reading: Reading) -> Iterator[Span]:
    """Yield names; overlapping ones are left to the caller."""
    speaks = not _SPEAKS.isdisjoint(reading.holds)
    for index, (written, lower, start, _) in enumerate(reading.words):
        first = _after_cue(reading, index, lower) if lower in _CUES else None
        if first is not None:
            yield Span(reading.words[first].start, _end(reading, first), Kind.NAME)
        elif is_given(lower[:-2] if lower[-2:] == "'s" else lower):
            if _stands_alone(reading, index):
                yield Span(start, _end(reading, index), Kind.NAME)
        elif (speaks or written[0].isupper()) and _speaks_for_itself(reading, index):
            yield Span(start, _end(reading, index), Kind.NAME)


def find_spelled(reading: Reading, names: list[Span]) -> Iterator[Span]:
    """Yield names spelled letter by letter after a name or a cue: ``smith s m i t h``."""
    if _LETTERS.search(reading.text) is None:
        return
    ends = {name.end for name in names}
    words, index = reading.words, 0
    while index < len(words):
        if len(words[index].text) > 1 and "-" not in words[index].text:
            index += 1
            continue
        last = index
        while last < len(words) and len(words[last].text) == 1 and words[last].text.isalpha() and (last == index or _joined(reading, last)):
            last += 1
        cued = index > 0 and (
            (words[index - 1].end in ends and reading.between(index - 1, index) in {" ", ", "}) or not _LETTER_CUES.isdisjoint(w.lower for w in words[max(0, index - 4) : index])
        )
        if last - index >= 3 and cued:
            yield Span(words[index].start, words[last - 1].end, Kind.NAME)
        elif len(words[index].text) > 6 and words[index].text.count("-") >= 3 and all(len(part) == 1 for part in words[index].text.split("-")):
            yield Span(words[index].start, words[index].end, Kind.NAME)
        index = max(last, index + 1)


def _after_cue(reading: Reading, index: int, lower: str) -> int | None:
    """Return the position of the first word of the name that a cue at this word speaks of, None where it is no cue or no name follows."""
    words = reading.words
    following = index + 1
    if lower in _SAYS_NAME:
        while following < min(len(words), index + 4) and words[following].lower in {"is", "was", "es", "it's", "its", "de", "should", "be", "as", "um", "uh"}:
            following += 1
        return following if following < len(words) and _same_clause(reading, index, following) and "," not in reading.between(index, index + 1) and _is_said_name(reading, following) else None
    if following >= len(words) or "\n" in reading.between(index, following):
        return None
    if lower in {"llamo", "llama", "named"}:
        return following if _is_said_name(reading, following) else None
    if lower in _TITLES:
        return _titled(reading, index, following)
    if lower == "is" and index and words[index - 1].lower == "this":
        return following if _is_introduced(reading, following) else None
    if lower in {"i'm", "im", "it's", "its", "soy"} or (lower == "am" and index and words[index - 1].lower == "i"):
        return following if _is_introduced(reading, following) else None
    if lower in _RELATIONS or (lower in {"our", "kid"} and words[following].text[:1].isupper()):
        if words[following].lower in {"is", "called", "named", "se"} and following + 1 < len(words) and lower not in {"patient"}:
            following += 1 + (words[following + 1].lower in {"called", "llama"})
        return following if following < len(words) and _is_related(reading, following, reading.between(following - 1, following)) else None
    if lower in _GREETS or lower in _CLOSES or lower in _SPEAKS_OF:
        return following if _is_addressed(reading, following, lower) else None
    return None


def _end(reading: Reading, first: int) -> int:
    """Return where the name ends that begins with a word."""
    words = reading.words
    last = first
    while last + 1 < len(words) and last + 1 - first < _MOST_WORDS and _joined(reading, last + 1) and not _owns(words[last].lower):
        if _continues(reading, first, last + 1):
            last += 1
        elif words[last + 1].lower in _PARTICLES and (last > first or words[first].text[:1].isupper() or is_given(words[first].lower)) and last + 2 < len(words) and _joined(reading, last + 2) and (
            _continues(reading, first, last + 2) and (words[last + 2].text[:1].isupper() or is_surname(_bare(words[last + 2].lower)))
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
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    if lower in _STOPS or is_medicine(lower) or any(map(str.isdigit, lower)) or lower in _DISEASES:
        return False
    if reading.words[first].text[:1].isupper():
        return word.text[:1].isupper() and (is_surname(lower) or is_given(lower) or not is_listed_plain(lower) or len(lower) == 1)
    if is_surname(lower) or is_clearly_given(lower):
        return True
    return len(lower) > 2 and not is_plain(lower) and lower not in NUMBERS and lower not in _SPEAKS and "'" not in lower.removeprefix("o'")


def _stands_alone(reading: Reading, index: int) -> bool:
    """Say whether a given name is one without any cue."""
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    if not is_mostly_given(lower):
        return _has_surname(reading, index) or _speaks_for_itself(reading, index)
    before = reading.words[index - 1].lower if index else ""
    if before in _SAINTS or is_medicine(lower):
        return False
    if index + 1 < len(reading.words) and reading.words[index + 1].lower in _DISEASES and reading.between(index, index + 1) == " ":
        return False
    if is_clearly_given(lower):
        return True
    if word.text[:1].isupper() and not _begins_sentence(reading, index):
        return True
    return _has_surname(reading, index) or _speaks_for_itself(reading, index)


def _has_surname(reading: Reading, index: int) -> bool:
    """Say whether a capitalised word that may be a name has a surname, or a capitalised unknown word, beside it."""
    word = reading.words[index]
    if index + 1 >= len(reading.words) or not _joined(reading, index + 1):
        return False
    after = reading.words[index + 1]
    lower = _bare(after.lower)
    if not word.text[:1].isupper():
        return is_surname(lower) and not is_plain(lower) and not is_given(lower)
    return after.text[:1].isupper() and not after.text.isupper() and not is_plain(lower) and not is_medicine(lower) and lower not in _DISEASES | _STOPS


def _speaks_for_itself(reading: Reading, index: int) -> bool:
    """Say whether a word is a name because of what follows: ``Chus aquí``, ``desmond clarke here``, ``Thandi Smith``."""
    word, after = reading.words[index], index + 1
    if after >= len(reading.words) or not (word.text[0].isupper() or reading.words[after].lower in _SPEAKS) or not _joined(reading, after):
        return False
    lower = _bare(word.lower)
    if is_plain(lower) or is_medicine(lower) or lower in _STOPS or len(lower) < 2 or not lower.replace("'", "").replace("-", "").isalpha():
        return False
    if word.text[:1].isupper() and reading.words[after].text[:1].isupper() and is_surname(_bare(reading.words[after].lower)):
        return not is_plain(_bare(reading.words[after].lower))
    if reading.words[after].lower in _SPEAKS and (word.text[:1].isupper() or is_given(lower)):
        return True
    return word.text[:1].isupper() and index == 0 and reading.words[after].lower in {"otra", "again"}


def _is_said_name(reading: Reading, index: int) -> bool:
    """Say whether a word can be a name after a strong cue: any word but a plain one."""
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    if any(map(str.isdigit, lower)) or is_medicine(lower) and not is_given(lower):
        return False
    if is_given(lower) or (is_surname(lower) and not is_plain(lower)):
        return True
    if len(lower) == 1:
        return word.text.isupper() and _initialled(reading, index)
    return not is_plain(lower) and lower not in _STOPS and lower not in NUMBERS


def _is_introduced(reading: Reading, index: int) -> bool:
    """Say whether a word can be a name after ``this is``, ``I'm``, ``it's`` or ``soy``."""
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    if is_medicine(lower) and not is_clearly_given(lower):
        return False
    if is_clearly_given(lower) or (word.text[:1].isupper() and is_mostly_given(lower)):
        return True
    after = next((k for k in range(index + 1, min(len(reading.words), index + 4)) if reading.words[k].lower in _SPEAKS | {"from", "de", "la", "el", "and"}), None)
    known = is_given(lower) or not (is_plain(lower) or lower in _STOPS or lower in NUMBERS or len(lower) < 3)
    if word.text[:1].isupper() and len(lower) > 2:
        return known
    if index + 1 < len(reading.words) and is_given(lower) and is_surname(_bare(reading.words[index + 1].lower)):
        return True
    return known and after is not None and lower.isalpha() and reading.words[index - 1].lower not in {"it's", "its"}


def _is_related(reading: Reading, index: int, gap: str) -> bool:
    """Say whether a word can be the name of somebody named by what they are: ``my daughter Anna``."""
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    if gap.strip(" ,(:\u00a0") or (is_medicine(lower) and not is_clearly_given(lower)) or lower in _STOPS:
        return False
    if is_clearly_given(lower):
        return True
    if not word.text[:1].isupper():
        return False
    return is_given(lower) or (len(lower) > 2 and not is_plain(lower) and lower.replace("'", "").replace("-", "").isalpha()) or _initialled(reading, index)


def _is_addressed(reading: Reading, index: int, cue: str) -> bool:
    """Say whether a capitalised word is a name after ``dear``, ``thanks``, ``for`` and the like."""
    word, lower = reading.words[index], _bare(reading.words[index].lower)
    gap = reading.between(index - 1, index)
    if gap.strip(" ,-\u00a0") or not word.text[:1].isupper() or is_medicine(lower) or lower in _STOPS:
        return False
    if is_given(lower) and (is_mostly_given(lower) or cue in _GREETS | _CLOSES):
        return True
    return cue in {"dear", "estimado", "estimada", "querido", "querida", "aki", "behalf"} and len(lower) > 2 and not is_plain(lower) and word.text.isalpha()


def _titled(reading: Reading, index: int, following: int) -> int | None:
    """Return the position of the name after a title, which may be an initial: ``Mr O. Petrov``."""
    word, lower = reading.words[following], _bare(reading.words[following].lower)
    if reading.between(index, following).strip(" .)\u00a0"):
        return None
    if word.lower in _TITLES and following + 1 < len(reading.words):
        return None  # "Dr Mrs": the second title speaks
    if (is_medicine(lower) and not is_clearly_given(lower)) or lower in _STOPS or lower in NUMBERS or any(map(str.isdigit, lower)):
        return None
    if is_clearly_given(lower) or (is_surname(lower) and not is_plain(lower)):
        return following
    if word.text[:1].isupper() and reading.words[index].text[:1].isupper() and (len(lower) > 1 or _initialled(reading, following)):
        return following if is_given(lower) or is_surname(lower) or not is_plain(lower) else None
    if len(lower) < 3 or is_plain(lower):
        return None
    sure = reading.words[index].lower in {"mr", "mrs", "dr", "señor", "señora", "doctor", "doctora", "sra"}
    return following if word.text[:1].isupper() or (sure and lower.isalpha()) else None


def _initialled(reading: Reading, index: int) -> bool:
    """Say whether a word is an initial before a capitalised word: ``O. Petrov``."""
    word = reading.words[index]
    if len(word.text) != 1 or not word.text.isupper() or index + 1 >= len(reading.words):
        return False
    after = reading.words[index + 1]
    return reading.between(index, index + 1) in {". ", " ", "."} and after.text[:1].isupper() and not is_plain(after.lower)


def _begins_sentence(reading: Reading, index: int) -> bool:
    return index == 0 or bool(set(reading.between(index - 1, index)) & set(".!?:\n>-"))


def _same_clause(reading: Reading, left: int, right: int) -> bool:
    return not set(reading.text[reading.words[left].end : reading.words[right].start]) & set(".;!?\n")


def _joined(reading: Reading, index: int) -> bool:
    """Say whether a word follows the one before with no more than a space, or the full stop of an initial, between."""
    gap = reading.between(index - 1, index)
    return gap in {" ", "\u00a0"} or (gap in {". ", "."} and len(reading.words[index - 1].text) <= 2)


def _owns(lower: str) -> bool:
    return lower.endswith("'s")


def _bare(lower: str) -> str:
    return lower.removesuffix("'s")
