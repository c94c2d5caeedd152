"""The verbs about one message, and about what classifies it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from orchestrator.commands.opening import ledger_of, url_of
from orchestrator.commands.printing import print_json, visible
from orchestrator.commands.verbs import Verbs, add_by
from orchestrator.errors import InputError
from orchestrator.schema import Category, Channel

if TYPE_CHECKING:
    from orchestrator.response import ClassifyResponse
    from orchestrator.schema import Message


def add_verbs(verbs: Verbs) -> None:
    """Add ``classify``, ``correct`` and ``release``."""
    classify = verbs.add(
        "classify",
        do_classify,
        "classify one message and run its workflow",
        examples=(
            'classify "I broke out in hives after the new tablets"',
            'classify --json --customer-id C-1 "where is my parcel, order ORD-100234"',
            "classify --channel mail - < message.txt",
        ),
        more="With --json: the JSON of the HTTP service.",
    )
    classify.add_argument("text", metavar="TEXT", help="the message; - reads it from standard input")
    classify.add_argument("--channel", choices=[c.value for c in Channel], default=Channel.CHAT.value, help="default: %(default)s")
    classify.add_argument("--customer-id", metavar="ID", help="whose message it is; stored as a keyed hash, by which it can be erased")
    correct = verbs.add(
        "correct",
        do_correct,
        "record the label a person gives a message; the decided one confirms it",
        examples=('correct REQUEST_ID safety_compliance --by "R. Ph." --note "names a side effect"',),
    )
    correct.add_argument("request_id", metavar="REQUEST_ID")
    correct.add_argument("label", metavar="LABEL", choices=[c.value for c in Category], help=", ".join(Category))
    add_by(correct)
    correct.add_argument("--note", default="", help="why; stored redacted")
    verbs.add("release", do_release, "verify the champion and say what it is", examples=("release --json",))


def do_classify(options: argparse.Namespace) -> int:
    """Classify one message, act on it and print what came of it."""
    from orchestrator.incoming import new_message

    text = _standard_input() if options.text == "-" else options.text
    try:
        message = new_message(text, options.channel, options.customer_id)
    except InputError as error:
        raise InputError(f"the message cannot be classified: {error}") from None
    response = asyncio.run(_handle(message, options))
    if options.json:
        print(response.model_dump_json(indent=2))
        return 0
    shares = ", ".join(f"{name} {value:.2f}" for name, value in response.probabilities.model_dump().items())
    print(f"{response.category.value}  (confidence {response.confidence:.2f}, {response.band.value})")
    print(f"  {shares}")
    print(f"  {visible(response.decision_path)}")
    print(f"  next: {response.next_step.action}: {visible(response.next_step.message)}")
    print(f"  request {response.request_id}")
    return 0


def do_correct(options: argparse.Namespace) -> int:
    """Record the label of a person."""
    with ledger_of(options) as ledger:
        decided = ledger.correct(options.request_id, Category(options.label), options.by, options.note)
    confirmed = decided == options.label
    if options.json:
        print_json({"request_id": options.request_id, "decided": decided.value, "label": options.label, "confirmed": confirmed})
    else:
        print(f"{options.request_id}: {decided.value} " + ("confirmed" if confirmed else f"corrected to {options.label}"))
    return 0


def do_release(options: argparse.Namespace) -> int:
    """Print which release classifies, its files verified."""
    from orchestrator.release import load_release

    manifest = load_release().manifest
    if options.json:
        print_json(manifest.model_dump(mode="json", include={"id", "candidate", "prompt", "model", "model_digest", "promoted_at", "files"}))
    else:
        print(f"release {manifest.id}: {manifest.candidate}, promoted {manifest.promoted_at}")
    return 0


def _standard_input() -> str:
    """Return the message that is piped in; bytes that are no UTF-8 become U+FFFD rather than the end of a safety message."""
    return sys.stdin.buffer.read().decode(errors="replace").replace("\r\n", "\n").removesuffix("\n")


async def _handle(message: Message, options: argparse.Namespace) -> ClassifyResponse:
    from orchestrator.connect import open_orchestrator
    from orchestrator.release import load_release
    from orchestrator.response import ClassifyResponse

    async with open_orchestrator(load_release(), options.environment, database_url=url_of(options)) as orchestrator:
        return ClassifyResponse.of(await orchestrator.handle(message))
