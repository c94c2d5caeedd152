"""Find amounts of money: "$1,140", "34.50 euros", "thirty two bucks", and a bare "8.99" beside a word of paying."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from orchestrator.service.slot import Slot
from orchestrator.service.spoken import BELOW_100, NUMBER, TENS, UNITS, number

# "INR" and "RM" are left out: here they are a blood test and a room.
# A symbol names a kind of money, not a country: there are dollars and rupees of several.
_CURRENCIES = {
    "dollar": r"us\$|\$|usd|cad|aud|dollars?|bucks?|d[oó]lares",
    "pound": r"£|gbp|pounds?|quid|libras",
    "euro": r"€|eur|euros?",
    "rupee": r"₹|rs\.?|rupees?",
    "dirham": r"aed|dirhams?",
    "peso": r"mxn|php|₱|pesos?",
    "naira": r"₦|ngn|naira",
    "rand": r"zar|rand",
    "shilling": r"kes|ksh|shillings?|bob",
    "ringgit": r"myr|ringgit",
    "yen": r"¥|jpy|yen",
    "krona": r"sek|nok|dkk|kr|kron(?:a|or|er)",
    "zloty": r"pln|z[lł]|zlot(?:y|ys)",
    "franc": r"chf|francs?",
    "riyal": r"sar|riyals?",
    "penny": r"cents?|pence|p\b|¢|centavos",
}
_FIGURES = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,6}(?:[.,]\d{1,2})?"
_BEFORE = r"us\$|[$£€₹₦₱¥]|\b(?:usd|cad|aud|gbp|eur|aed|mxn|ngn|php|zar|kes|ksh|myr|jpy|chf|pln|sar|rs\.?)"
_AFTER = "|".join(_CURRENCIES.values())
_WRITTEN = re.compile(
    rf"(?P<mark>{_BEFORE})\s?(?P<figures>{_FIGURES})(?![\d%])|(?<![\d.,$£€/#-])\b(?P<figures2>{_FIGURES})\s?(?P<mark2>{_AFTER})(?!\w)",
    re.IGNORECASE,
)
_SAID = re.compile(
    rf"\b(?P<words>{NUMBER})\s(?P<mark>{_AFTER})\b(?:\s(?:and\s)?(?P<cents>{BELOW_100})(?:\scents|\spence|\sp\b)?)?", re.IGNORECASE
)
# A whole number right after a word of paying, with nothing after it that it could count.
_PAID = re.compile(
    r"\b(?:charged|paid|billed|costs?|owed?|quoted|refund(?:ed)?(?: of)?|price (?:was|is|of)|total (?:was|is|of)|copay (?:was|is|of))"
    rf" (?:me |us |you |him |her |all |only |about |like |just |nearly )*(?:(?P<figures>\d{{2,5}}(?:\.\d\d)?)|(?P<words>{NUMBER}))"
    r"(?=[.,;!?)]*$|[.,;!?)]+\s|\s(?:and|for|but|on|instead|at|in|when|now|last|this|it|so|then|from|out|off|back"
    r"|yesterday|today|because|cos)\b)",
    re.IGNORECASE,
)
# A figure that is written or said like a price is one only beside a word of paying.
_PRICE = re.compile(
    r"(?<![\w.,:/#$£€-])(?:(?P<figures>\d{1,4}\.\d{2})(?![\w/:]|\.\d|\s?(?:am|pm|mg)\b)"
    rf"|(?P<whole>(?!nineteen\b){BELOW_100})\s(?P<cents>(?:{'|'.join(TENS)})(?:[ -](?:{'|'.join(UNITS)}))?))\b",
    re.IGNORECASE,
)
_PAYING = re.compile(
    r"\b(?:charg\w*|pa(?:y|id)\b|cost|bill(?:ed)?|refund\w*|money|cash|price|took|taken|take\b|credit\w*|back\b|owe[ds]?|due|quoted|copay|exempt|receipt)",
    re.IGNORECASE,
)
_REACH = 80  # characters on either side in which the word of paying stands


def find_amounts(text: str) -> Iterator[Slot]:
    """Yield the amounts of money in a text; the value is a decimal number and, where it is named, the kind of money."""
    taken = bytearray(len(text))  # 1 where an amount stands
    for pattern in (_WRITTEN, _SAID, _PRICE, _PAID):
        for match in pattern.finditer(text):
            start, end = _span(match)
            if any(taken[start:end]):
                continue
            if pattern is _PRICE and not _PAYING.search(text[max(0, start - _REACH) : end + _REACH]):
                continue
            taken[start:end] = b"\1" * (end - start)
            yield Slot(name="amount", value=_value(match), text=text[start:end], start=start, end=end)


def _span(match: re.Match[str]) -> tuple[int, int]:
    """Return where the amount stands, without the word of paying before it."""
    if match.re is not _PAID:
        return match.span()
    return match.span("figures" if match.group("figures") else "words")


def _value(match: re.Match[str]) -> str:
    found = {name: group for name, group in match.groupdict().items() if group}
    figures, mark = found.get("figures") or found.get("figures2"), found.get("mark") or found.get("mark2")
    if figures:
        amount = _decimal(figures)
    else:
        amount = Decimal(number(found.get("words") or found["whole"]))
        amount += Decimal(number(found["cents"])) / 100 if "cents" in found else 0
    currency = _currency(mark) if mark else ""
    if currency == "penny":
        return f"{amount / 100:.2f}"
    return f"{amount:.2f} {currency}".rstrip()


def _decimal(figures: str) -> Decimal:
    """Read figures whose comma is a thousands' mark before three digits, else a decimal mark."""
    return Decimal(re.sub(r",(?=\d{3}\b)", "", figures).replace(",", "."))


def _currency(mark: str) -> str:
    return next(name for name, pattern in _CURRENCIES.items() if re.fullmatch(pattern, mark, re.IGNORECASE))
