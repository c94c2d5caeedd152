"""What personal data is: its kinds, and where one stands in a text."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """A kind of personal data; its value is the placeholder's word."""

    NAME = "NAME"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    ADDRESS = "ADDRESS"
    DOB = "DOB"
    CARD = "CARD"
    IBAN = "IBAN"
    SSN = "SSN"  # and other national numbers: NINO of the United Kingdom, DNI and NIE of Spain
    NHS = "NHS"
    PRESCRIPTION = "PRESCRIPTION"
    MEMBER = "MEMBER"
    ORDER = "ORDER"  # orders, parcels, invoices and references; replaced only when asked


class Span(NamedTuple):
    """Personal data at ``text[start:end]``, in characters."""

    start: int
    end: int
    kind: Kind
