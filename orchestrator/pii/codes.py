"""Ids of letters and digits after a cue: ``Rx# C-4471 -> PRESCRIPTION``, ``member id XJ 220 114 -> MEMBER``, ``order 40-7765 -> ORDER``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.pii import numerals
from orchestrator.pii.kinds import Kind, Span
from orchestrator.pii.lexicon import words_of
from orchestrator.pii.reading import Reading

_PRESCRIPTIONS = words_of("rx prescription script refill receta prescripción repeat scrip perscription presciption prescripton prescrption")
_MEMBERS = words_of(
    "member memeber membr mbr membership policy insurance subscriber medicare medicaid medi-cal patient pt customer client loyalty"
    " account acct mrn beneficiary group plan hospital socio socia afiliado afiliada afiliación afiliacion miembro nsocio póliza"
    " poliza asegurado asegurada sanitaria cliente paciente seguro cip sip id id's insured payer rewards clubcard nectar expediente"
    " historia mutua aetna cigna humana kaiser bupa bcbs tricare"
)
_ORDERS = words_of(
    "order orders ord ordr oder ordre odrer pkg paquete pedido orden po invoice factura tracking parcel package shipment confirmation"
    " booking reference ref case ticket return seguimiento receipt dispatch consignment purchase transaction envío compra encargo"
    " reserva referencia localizador delivery"
)
_STAY = words_of("lot lots batch lote ndc barcode serial exp expiry ean gtin")
# What a word speaks of. None takes lots and codes of medicines away from everybody else.
_CUES: dict[str, Kind | None] = {
    **dict.fromkeys(_PRESCRIPTIONS, Kind.PRESCRIPTION),
    **dict.fromkeys(_MEMBERS, Kind.MEMBER),
    **dict.fromkeys(_ORDERS, Kind.ORDER),
    **dict.fromkeys(_STAY, None),
}
_SAYS_NUMBER = r"number|no|num|nr|id|ids|code|ref|reference|número|numero|nº|núm"
_FILLER = re.compile(
    rf"(?i)((?:[\s:#=.,()'\u2019-]{{1,4}}(?:{_SAYS_NUMBER}|is|it|its|s|es|era|um|uh|er|the|my|mi|card|plan|de|del|la|el|on|box|bottle|label"
    r"|for|this|that|was|ends|in|reads|says|starts|with|ending|insurance|policy|group|member|rx|order|prescription|receta|pedido|socio|póliza|barcode|electrónica|médica|privada|i|placed|online|web)\b){0,8})"
    r"[\s:#=.,('\u2019-]{0,4}"
)
_EXPLICIT = re.compile(rf"(?i)#|\b(?:{_SAYS_NUMBER})\b")
_PIECE = re.compile(r"[^\W_]+")
_GAP = re.compile(r"[ \u00a0]|[-/._]")
_UNIT = re.compile(r"(?i)\d+(?:mg|mcg|ml|g|kg|iu|st|nd|rd|th|am|pm|x)|.*:")
_COUNTED = re.compile(
    r"(?i) ?(?:%|:\d|(?:mg|mcg|ml|tab(?:let)?s?|caps(?:ules)?|pills?|boxes|packs?|bottles?|days?|weeks?|months?|times|people|dollars"
    r"|units|pounds)\b)"
)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_FILLERS = frozenset({"dash", "hyphen", "slash", "then", "guion", "guión"})  # between two characters said
_MOST_PIECES = 24  # an id said letter by letter


def find_codes(reading: Reading) -> Iterator[tuple[int, int, Kind | None]]:
    """Yield ids after their cue; a kind of None marks what must stay."""
    if not reading.digits and not reading.holds & numerals.WORDS:
        return
    for word in reading.words:
        if word.lower not in _CUES:
            continue
        filler = _FILLER.match(reading.text, word.end)
        if filler is None or filler.end() == word.end:
            continue
        kind = _CUES[word.lower]
        explicit = _EXPLICIT.search(filler.group()) is not None or reading.text[filler.end() - 1] == "#"
        end = _value_end(reading.text, filler.end(), fewest=3 if explicit or kind is None else 4 if kind == Kind.ORDER else 5)
        if end:
            yield filler.end(), end, kind


def find_hashes(reading: Reading) -> Iterator[Span]:
    """Yield numbers after a bare ``#``, which are orders."""
    if "#" in reading.text:
        for match in re.finditer(r"#[A-Z]{0,3}-?\d{4,12}\b", reading.text):
            yield Span(match.start() + 1, match.end(), Kind.ORDER)


def _value_end(text: str, start: int, *, fewest: int) -> int | None:
    """Return where the id that begins here ends, None where there is none or it has too few digits."""
    end, digits, previous, position, gap = None, 0, "", start, ""
    for _ in range(_MOST_PIECES):
        piece = _PIECE.match(text, position)
        if piece is None or not _belongs(piece.group(), previous, gap, text[piece.end() : piece.end() + 2]):
            break
        if _UNIT.fullmatch(piece.group()) or _COUNTED.match(text, piece.end()):
            break
        lower = piece.group().lower()
        found = sum(map(str.isdigit, piece.group())) + (len(numerals.digits_of([lower])) if lower in numerals.WORDS else 0)
        if found or lower in numerals.REPEATS or (end and (gap.strip() or _closes(text, piece))):
            digits, end = digits + found, piece.end()
        previous = piece.group()
        following = _GAP.match(text, piece.end())
        gap = following.group() if following else ""
        if not gap:
            break
        position = piece.end() + len(gap)
    return end if end and digits >= fewest and not _DATE.fullmatch(text, start, end) else None


def _belongs(piece: str, previous: str, gap: str, after: str) -> bool:
    """Say whether a piece can be a part of an id, given the piece and the gap before it and the two characters after it."""
    spaced = bool(previous) and not gap.strip()
    if piece.lower() in numerals.WORDS:
        return not (previous.isdigit() and len(previous) > 1 and spaced)  # "PO 7731 four arrived"
    if len(piece) == 1 or (previous and piece.lower() in _FILLERS):
        return True
    if not any(map(str.isdigit, piece)):
        hyphened = bool(gap.strip()) or (len(after) == 2 and after[0] in "-/_" and after[1].isalnum())
        return (piece.isupper() and len(piece) <= 5) or (hyphened and len(piece) <= 8)
    # "order 4471 2 boxes": one digit after a space is another number, unless digits are said one by one.
    return not spaced or len(piece) >= 2 or len(previous) == 1 or previous.isalpha()


def _closes(text: str, piece: re.Match[str]) -> bool:
    """Say whether a piece without digits closes an id said in groups: ``44 778 B``."""
    said = piece.group()
    return (
        len(said) <= 2
        and (said.isupper() or (len(said) == 1 and said not in "aeioyu"))
        and not re.match(r" ?\d", text[piece.end() : piece.end() + 2])
    )
