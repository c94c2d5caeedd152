"""Whether digits are a phone number, by the numbering plans of ``phonenumbers`` (the metadata of libphonenumber)."""

from __future__ import annotations

import re
from functools import lru_cache

_DATE = re.compile(r"(?:19|20)\d\d[.-]\d{1,2}[.-]\d{1,2}|\d{1,2}[.-]\d{1,2}[.-](?:19|20)\d\d")
_SEVEN = re.compile(r"\d{3}[.-]\d{4}")  # a United States number without its area code
MOST_DIGITS = 15  # ITU-T E.164


def is_phone(written: str, digits: str) -> bool:
    """Say whether a number, as written and as digits, is a phone number without any cue.

    Reserved numbers (07700 900xxx, 555-01xx) count: being possible in a plan is enough where the shape fits the plan.
    """
    if not 7 <= len(digits) <= MOST_DIGITS or _DATE.fullmatch(written.strip()):
        return False
    if written.lstrip("( ").startswith("+"):
        return _possible(f"+{digits}", "US")
    if digits.startswith("00"):
        return len(digits) > 10 and _possible(f"+{digits[2:]}", "US")
    if len(digits) == 7:
        return _SEVEN.fullmatch(written) is not None
    region = _region(digits)
    return region is not None and _possible(digits, region)


def _region(digits: str) -> str | None:
    """Return the plan whose national numbers look like these digits."""
    if digits[0] == "0":
        return "GB" if len(digits) in {10, 11} and digits[1] in "1235789" else None
    if len(digits) == 10 and digits[0] not in "01" and digits[3] not in "01":
        return "US"
    if len(digits) == 11 and digits[0] == "1" and digits[1] not in "01":
        return "US"
    if len(digits) == 9 and digits[0] in "6789":
        return "ES"
    if len(digits) == 11 and digits.startswith("34"):
        return "ES"
    return "GB" if len(digits) == 12 and digits.startswith("44") else None


@lru_cache(maxsize=1024)
def _possible(number: str, region: str) -> bool:
    import phonenumbers  # here, so that its metadata is read with the first number and not at start-up

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(parsed)
