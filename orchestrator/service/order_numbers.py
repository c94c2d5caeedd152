"""Find order numbers: "#A12345", "order no. 778-123", "pedido 4456", "order four four one two"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.service.slot import Slot
from orchestrator.service.spoken import DIGITS, digits

# Letters, digits and joints, at least two digits, not the first piece of a date, a dose, a decimal or a price.
_NUMBER = (
    r"(?=[a-z/-]{0,6}\d[a-z/-]{0,6}\d)[a-z]{0,5}[-/]?\d[\da-z]{0,15}(?:[-/][\da-z]{1,12}){0,3}"
    r"(?![\w/]|[.,:]\d|-\d|\s?(?:mg|mcg|ml|am|pm|%)\b)"
)
_NO = (
    r"(?:\s{0,3}(?:no|num(?:ber)?|n[uú]m(?:ero)?|nr|n[o°º]|id|ref(?:erence)?)\b)?"
    r"(?:['\u2019]?s\b|\s{1,3}(?:is|was|es|ending(?: in)?|ends(?: in)?))?[\s.:,(#-]{0,4}"
)
_NAMED = re.compile(
    rf"\b(?:(?:purchase )?order|ord|oder|p\.?o|pedido|orden|parcel|inv(?:oice)?"
    rf"|ref(?:erence)?|tracking|confirmation|rx|prescription|script|receta)\b{_NO}(?P<number>{_NUMBER})",
    re.IGNORECASE,
)
_HASHED = re.compile(rf"(?<![\w#])#\s?(?P<number>{_NUMBER})", re.IGNORECASE)
# Such a number may also be a phone's, so 555-0110 is none.
_BARE = re.compile(
    r"\b(?:cancel|track(?:ing)?|cancelar|number(?:['\u2019]?s| is)|n[uú]mero es|order\b.{0,60}\bends in)[\s:]{1,4}(?:it's )?"
    rf"(?P<number>(?!\d{{3}}[ -]\d{{4}}\b|\d{{10}}){_NUMBER})",
    re.IGNORECASE,
)
# Letters, a joint and digits are a number by their shape alone: RT-77, FEK-0081, ORD-100234.
_SHAPED = re.compile(
    r"(?<![\w@./-])(?P<number>(?!(?:covid|b|vitamin|omega|type|glow)-)[a-z]{1,4}[-/]\d{2,10}(?:-[\da-z]{1,4})?)(?![\w@/-]|\.\w)",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"\b(?:order|pedido|tracking|number|ref(?:erence)?)(?:['\u2019]s| is|\s+number(?:['\u2019]s| is)?)? (?:is |um |uh )*"
    rf"(?P<number>{DIGITS}(?:[ ,-]+{DIGITS}){{2,15}})\b",
    re.IGNORECASE,
)
_NOT_AN_ORDER = re.compile(
    r"(?:\b(?:pt|patient|pts|qty|dose|phone|fone|mobile|fax|npi|dob|batch|lot|ward|room|flat)\b[^\w\n]{0,3}(?:number)?\W{0,3})$",
    re.IGNORECASE,
)
_A_QUANTITY = re.compile(r"[\s,]{1,3}(?:\d{1,2}\s?)?(?:rf\b|refills?\b)", re.IGNORECASE)
_LEAST_SPOKEN, _MOST_SPOKEN = 3, 9  # ten digits and more are a phone or a card number


def find_order_numbers(text: str) -> Iterator[Slot]:
    """Yield the order numbers named in a text, the most explicit ones first; the value is in capitals and without spaces."""
    taken = bytearray(len(text))  # 1 where a number stands
    for pattern in (_NAMED, _HASHED, _SPOKEN, _BARE, _SHAPED):
        for match in pattern.finditer(text):
            start, end = match.span("number")
            if any(taken[start:end]) or _is_no_order(text, match.start(), end):
                continue
            verbatim = match.group("number")
            value = digits(verbatim) if pattern is _SPOKEN else verbatim.upper()
            if pattern is _SPOKEN and not _LEAST_SPOKEN <= len(value) <= _MOST_SPOKEN:
                continue
            taken[start:end] = b"\1" * (end - start)
            yield Slot(name="order_number", value=value, text=verbatim, start=start, end=end)


def order_key(number: str) -> str:
    """Return what two spellings of one order number share: its letters in capitals and its digits."""
    return "".join(c for c in number.upper() if c.isalnum())


def _is_no_order(text: str, start: int, end: int) -> bool:
    return bool(_NOT_AN_ORDER.search(text[max(0, start - 24) : start]) or _A_QUANTITY.match(text, end))
