"""Take a message in from a command line or a file: ``text, channel, customer -> Message``, or an error that says what is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from orchestrator.errors import InputError
from orchestrator.schema import Channel, Message
from orchestrator.store.entry import CUSTOMER_ID

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL holds no NUL, UTF-8 no lone surrogate


def new_message(text: object, channel: object = None, customer_id: object = None) -> Message:
    """Return the message of a text; without a channel it came by chat. Characters that no store can hold become U+FFFD.

    Raises ``InputError`` for what is no text or blank, and for an unknown channel.
    """
    if not isinstance(text, str):
        raise InputError("there is no message" if text is None else f"the message is {type(text).__name__} {text!r}, not a text")
    if not text.strip():
        raise InputError("the message is empty")
    name = Channel.CHAT.value if _absent(channel) else str(channel).strip().lower()
    if name not in set(Channel):
        raise InputError(f"unknown channel {channel!r}; use {', '.join(Channel)}")
    metadata = {} if _absent(customer_id) else {CUSTOMER_ID: storable(str(customer_id))}
    return Message(text=storable(text), channel=Channel(name), metadata=metadata)


def storable(value: Any) -> Any:
    """Return a text with U+FFFD for each character that no store can hold; what is no text stays as it is."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def digest_of(message: Message) -> str:
    """Return the SHA-256 of all a message holds: two requests with one idempotency key must have it in common."""
    return hashlib.sha256(json.dumps(message.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _absent(value: object) -> bool:
    return value is None or value == ""
