"""Runs of digits, written or said: cards, NHS and social security numbers, phones, and ids after a cue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii import numerals
from orchestrator.pii.checksums import is_card, is_nhs
from orchestrator.pii.cues import KEEP, NUMBER, cue_after, cue_before
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import words_of
from orchestrator.pii.phones import MOST_DIGITS, is_phone
from orchestrator.pii.reading import Reading, Word

# Digits and what parts them are disjoint, so a run is read in one pass.
_RUN = re.compile(r"(?<![\w/$£€])(?<![$£€] )[+(]{0,2}\d+(?:[ .()\u00a0\u2010-\u2013-]{1,3}\d+)*")
_PIECE = re.compile(r"\d+")
_AFTER = re.compile(
    r"(?i)[/:\u00b0%a-z]|[.,]\d| ?(?:mg|mcg|ml|g|kg|iu|units?|tab(?:let)?s?|caps(?:ules)?|pills?|doses?|puffs?|drops?|percent)\b"
)
_SSN = re.compile(r"\d{3}[ -]\d{2}[ -]\d{4}")
_ATTACHED = re.compile(r"(?:[-/_][A-Za-z0-9]{1,12}){1,3}")
_BEFORE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{1,8}[-/_]$")
_SPACED = re.compile(r"\d(?: \d){6,}")
_MIXED = re.compile(r"(?<![\w@./-])[A-Za-z0-9]{1,20}(?:[-/_][A-Za-z0-9]{1,20}){0,4}(?![\w@])")
_DOSE = re.compile(r"(?i)\d+(?:mg|mcg|ml|g|kg|iu|st|nd|rd|th|am|pm)|[\d/-]+|\d{1,2}-[a-z]+-\d{2,4}")
_CODE = re.compile(r"\d{2,8}-\d{3,8}|\d{5,10}")
# What a message is about says what a number without any cue is; the first that fits.
_TOPICS = {
    Kind.PRESCRIPTION: words_of("prescription prescriptions script scripts rx refill refills receta recetas"),
    Kind.ORDER: words_of("order orders ordered parcel package delivery delivered tracking refund arrived pedido paquete reembolso entrega"),
    Kind.MEMBER: words_of("insurance member membership policy copay coverage insurer seguro póliza aseguradora mutua"),
}
_FILLERS = frozenset({"y", "and", "then", "dash", "hyphen", "space", "guion", "guión", "um", "uh", "er"})  # between two digits said
_LONGEST_PIECES = 19  # a card number said digit by digit
_IDS = {Kind.MEMBER: 5, Kind.PRESCRIPTION: 5, Kind.ORDER: 4}  # fewest digits with a cue that need not mean a number


def find_digit_runs(reading: Reading) -> Iterator[Span]:
    """Yield what runs of digits are, by checksum, numbering plan and the words beside them."""
    if reading.digits < 4:
        return
    last: Kind | None = None
    topic = _topic(reading)
    for run in _RUN.finditer(reading.text):
        if sum(map(str.isdigit, run.group())) >= 4:
            for span in _in_run(reading.text, run, last, topic):
                last = span.kind
                yield span


def find_said_runs(reading: Reading) -> Iterator[Span]:
    """Yield what numbers said in words are, numerals among them included: ``oh seven seven double five``."""
    if len(reading.holds & numerals.WORDS) < 2:
        return
    run: list[Word] = []
    for word in reading.words:
        if run and reading.text[run[-1].end : word.start].strip(" ,.-\u00a0"):
            yield from _said(reading.text, run)
            run = []
        if _is_said(word.lower) or (run and word.lower in _FILLERS and run[-1].lower not in _FILLERS):
            run.append(word)
        elif run:
            yield from _said(reading.text, run)
            run = []
    yield from _said(reading.text, run)


def find_mixed(reading: Reading) -> Iterator[Span]:
    """Yield ids that begin with letters, where the words before say what they are: ``receta electrónica E83108985``."""
    if reading.digits < 4:
        return
    topic = _topic(reading)
    for match in _MIXED.finditer(reading.text):
        digits = sum(map(str.isdigit, match.group()))
        if digits < 4 or _DOSE.fullmatch(match.group()):
            continue
        cue = cue_before(reading.text, match.start())
        cue = cue_after(reading.text, match.end()) if cue in {None, NUMBER, Kind.PHONE} else cue
        # Nine digits behind letters are an insurer's id where nothing says what they are; lots are shorter.
        insured = Kind.MEMBER if digits >= 9 and match.group()[:2].isalpha() else None
        kind = next((kind for kind in _IDS if kind == cue), None) or (None if cue else topic or insured)
        if kind:
            yield Span(match.start(), match.end(), kind)


def _topic(reading: Reading) -> Kind | None:
    """Return the kind of id that a message as a whole speaks of."""
    return next((kind for kind, words in _TOPICS.items() if not words.isdisjoint(reading.holds)), None)


def _in_run(text: str, run: re.Match[str], last: Kind | None, topic: Kind | None) -> Iterator[Span]:
    pieces = list(_PIECE.finditer(text, run.start(), run.end()))
    while pieces and _AFTER.match(text, pieces[-1].end()):
        pieces.pop()
    if not pieces:
        return
    cue = cue_before(text, run.start())
    if cue == KEEP:
        return
    if cue in {None, NUMBER, Kind.PHONE}:
        cue = cue_after(text, pieces[-1].end()) or cue
    first = 0
    while first < len(pieces):
        start = run.start() if first == 0 else pieces[first].start()
        for stop in range(min(len(pieces), first + _LONGEST_PIECES), first, -1):
            end = pieces[stop - 1].end()
            kind = _kind(text[start:end], "".join(piece.group() for piece in pieces[first:stop]), cue)
            if kind is None and _SPACED.fullmatch(text, start, end):
                kind = last or Kind.PHONE  # said digit by digit, so of the kind that was spoken of before
            if kind is None and cue in {None, NUMBER} and first == 0 and stop == len(pieces) and _CODE.fullmatch(text, start, end):
                kind = topic
            if kind:
                attached = _ATTACHED.match(text, end) if kind in _IDS else None
                before = _BEFORE.search(text, max(0, start - 16), start) if kind in _IDS else None
                yield Span(before.start() if before else start, attached.end() if attached else end, kind)
                first = stop
                break
        else:
            first += 1


def _kind(written: str, digits: str, cue: str | None) -> Kind | None:
    """Return what digits are, given how they are written and what the words beside them speak of."""
    if len(digits) > 19:
        return None
    sure = _by_check(written, digits, cue)
    if sure:
        return sure
    for kind, fewest in _IDS.items():
        if cue == kind:
            return kind if len(digits) >= fewest else None
    if is_phone(written, digits) or (cue in {NUMBER, Kind.PHONE} and 7 <= len(digits) <= MOST_DIGITS):
        return Kind.PHONE
    return None


def _by_check(written: str, digits: str, cue: str | None) -> Kind | None:
    """Return what digits are by a checksum or a shape; with its cue, a number counts though a digit of it be wrong."""
    n = len(digits)
    if is_card(digits) or (cue == Kind.CARD and 14 <= n <= 19):
        return Kind.CARD
    if _SSN.fullmatch(written) or (cue == Kind.SSN and n in {4, 9}):
        return Kind.SSN
    if n == 10 and (cue == Kind.NHS or (cue in {None, NUMBER} and "(" not in written and is_nhs(digits))):
        return Kind.NHS
    return Kind.MEMBER if cue == Kind.CARD and 7 <= n <= 12 else None  # no bank's card is so short: an insurer's


def _is_said(word: str) -> bool:
    return word in numerals.WORDS or (word.isascii() and word.isdigit()) or ("-" in word and all(map(_is_said, word.split("-"))))


def _said(text: str, run: list[Word]) -> Iterator[Span]:
    while run and run[-1].lower in _FILLERS | {"o", "una"}:  # "or" and "a" in Spanish, where a number does not end
        run = run[:-1]
    if len(run) < 3 or not any(word.lower in numerals.WORDS or "-" in word.lower for word in run):
        return
    digits = numerals.digits_of([word.lower for word in run])
    kind = _kind("", digits, cue_before(text, run[0].start)) if len(digits) >= 4 else None
    if kind is None and 7 <= len(digits) <= MOST_DIGITS and cue_before(text, run[0].start) != KEEP:
        kind = Kind.PHONE  # nobody says seven digits in a row that are a dose
    if kind:
        yield Span(run[0].start, run[-1].end, kind)
