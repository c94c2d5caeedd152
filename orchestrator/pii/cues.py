"""What the words before a number say it is: ``my member id is 4471-20 -> MEMBER``."""

from __future__ import annotations

import re

from orchestrator.pii.kinds import Kind

KEEP = "KEEP"  # lots, batches, national codes of medicines: they name no person, and a recall needs them
NUMBER = "NUMBER"  # of what, is not said: a phone if it can be one
_WINDOW = 56  # characters before a number in which a cue counts: "the number on my insurance card, let me see, it's"

# The later of two cues counts, so "order number" must be read whole before "number" alone could make a phone of it.
_NUMBER = r"(?:[ '#.:-]{0,3}\b(?:number|numero|número|no|num|nr|id|code|ref|reference|card)\b){0,3}"
_PATTERNS = {
    KEEP: r"(?:lots?|lotes?|batch(?:es)?|ndc|barcode|bar code|serial|expiry|expir(?:es|ation|y)|exp|ean|upc|gtin|licen[cs]e|caducidad"
    r"|código nacional)",
    Kind.IBAN: r"iban",
    Kind.NHS: r"(?:nhs|national health)",
    Kind.SSN: r"(?:ssn|ss|soc|social(?: security)?(?: n)?|seguridad social|national insurance|nino|ni number|dni|nie)",
    Kind.CARD: r"(?:(?:credit|debit|bank|visa|payment|long) ?card|card|visa|mastercard|amex|american express|long number"
    r"|tarjeta(?! sanitaria))",
    Kind.PRESCRIPTION: r"(?:rx|prescriptions?|p(?:er|re)s?c?ript?i?ons?|scrip|scripts?|refills?|recetas?"
    r"|number on the (?:box|bottle|label|bag))",
    Kind.MEMBER: r"(?:member(?:ship)?|memeber|polic(?:y|ies)|insurance|subscriber|medicare|medicaid|patient|customer|client"
    r"|loyalty|account|acct|mrn|hospital number|beneficiary|group|plan|miembro|nsocio|socio|afiliad[oa]|póliza|poliza|asegurad[oa]"
    r"|tarjeta sanitaria|cliente"
    r"|paciente|seguro|mutua|rewards|clubcard|aetna|cigna|humana|kaiser|bupa|tricare|nectar|sip|bcbs|medi-cal|afiliaci[oó]n)",
    Kind.ORDER: r"(?:orders?|ord|ordr|oder|ordre|pedidos?|orden|po|invoice|factura|tracking|parcel|package|shipment"
    r"|confirmation|booking|reference|ref|case|ticket|seguimiento|receipt|dispatch|purchase|transaction|envío|compra|encargo|reserva|referencia)",
    NUMBER: r"(?:number|número|numero)",
    Kind.PHONE: r"(?:phone|telephone|tel|tlf|telf|tfno|mobile|cell|cellphone|landline|fax|whats ?app|call|ring|text|reach|contact|dial"
    r"|callback|móvil|movil|celular|teléfono|telefono|llam\w{1,6})",
}
_CUE = re.compile("(?i)\\b(?:" + "|".join(f"(?P<{kind}>{pattern}{_NUMBER})" for kind, pattern in _PATTERNS.items()) + ")\\b")


_AFTER = re.compile(
    r"(?i)[ .,(]{1,3}(?:(?:is|as|es|for|that's|=|my|mi|the|our|número|de) ){0,3}"
    rf"(?:(?P<SSN>{_PATTERNS[Kind.SSN]})|(?P<NHS>{_PATTERNS[Kind.NHS]})|(?P<MEMBER>member|policy|socio)|(?P<ORDER>order|pedido)"
    r"|(?P<PRESCRIPTION>rx|prescription|script|receta)|(?P<PHONE>phone|mobile|cell|tel|móvil|teléfono))\b"
)


def cue_after(text: str, end: int) -> str | None:
    """Return the kind that the words right after a number speak of: ``650173865 as my social``."""
    match = _AFTER.match(text, end)
    return match.lastgroup if match else None


def cue_before(text: str, start: int) -> str | None:
    """Return the kind that the nearest cue before a place speaks of, ``KEEP`` for what must stay, None where there is none."""
    found = None
    for match in _CUE.finditer(text, max(0, start - _WINDOW), start):
        found = match.lastgroup
    return found
