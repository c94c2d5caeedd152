"""Command line of the orchestrator: ``python -m orchestrator classify TEXT``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from orchestrator.connect import open_orchestrator
from orchestrator.errors import OrchestratorError
from orchestrator.release import load_release
from orchestrator.response import ClassifyResponse
from orchestrator.schema import Category, Channel, Message
from orchestrator.store.ledger import Ledger, default_database


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 when a check found something, or 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except OrchestratorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator", description="Classify messages with the promoted champion.")
    parser.add_argument(
        "--database",
        default=default_database(os.environ),
        help="database URL (default: DATABASE_URL, else %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    classify = commands.add_parser("classify", help="classify one message and run its workflow")
    classify.add_argument("text", help="the message")
    classify.add_argument("--channel", choices=[c.value for c in Channel], default=Channel.CHAT.value)
    classify.add_argument("--json", action="store_true", help="print the same JSON as the HTTP service")
    classify.set_defaults(run=_classify)
    audit = commands.add_parser("audit", help="check the audit trail").add_subparsers(required=True, metavar="command")
    audit.add_parser("verify", help="verify the hash chain from end to end").set_defaults(run=_verify)
    escalations = commands.add_parser("escalations", help="list what waits for a person")
    escalations.set_defaults(run=_escalations)
    correct = commands.add_parser("correct", help="record the label a person gives a message; the decided one confirms it")
    correct.add_argument("request_id", metavar="REQUEST_ID")
    correct.add_argument("label", metavar="LABEL", choices=[c.value for c in Category], help=", ".join(Category))
    correct.add_argument("--by", required=True, metavar="WHO", help="who gives the label")
    correct.add_argument("--note", default="", help="why; stored redacted")
    correct.set_defaults(run=_correct)
    release = commands.add_parser("release", help="verify the champion and say what it is")
    release.set_defaults(run=_release)
    return parser


def _classify(options: argparse.Namespace) -> int:
    try:
        message = Message(text=options.text, channel=options.channel)
    except ValidationError as error:
        raise OrchestratorError(f"the message cannot be classified: {error.errors()[0]['msg']}") from None
    response = asyncio.run(_handle(message, options.database))
    if options.json:
        print(response.model_dump_json(indent=2))
        return 0
    shares = ", ".join(f"{name} {value:.2f}" for name, value in response.probabilities.model_dump().items())
    print(f"{response.category.value}  (confidence {response.confidence:.2f}, {response.band.value})")
    print(f"  {shares}")
    print(f"  {response.decision_path}")
    print(f"  next: {response.next_step.action}: {response.next_step.message}")
    return 0


async def _handle(message: Message, database_url: str) -> ClassifyResponse:
    async with open_orchestrator(load_release(), os.environ, database_url=database_url) as orchestrator:
        return ClassifyResponse.of(await orchestrator.handle(message))


def _verify(options: argparse.Namespace) -> int:
    problems = Ledger.at(options.database, os.environ).verify()
    print("\n".join(problems) or "the audit trail holds")
    return 1 if problems else 0


def _escalations(options: argparse.Namespace) -> int:
    print(json.dumps([one.model_dump(mode="json") for one in Ledger.at(options.database, os.environ).escalations()], indent=2))
    return 0


def _correct(options: argparse.Namespace) -> int:
    decided = Ledger.at(options.database, os.environ).correct(options.request_id, Category(options.label), options.by, options.note)
    print(f"{options.request_id}: {decided.value} " + ("confirmed" if decided == options.label else f"corrected to {options.label}"))
    return 0


def _release(_: argparse.Namespace) -> int:
    manifest = load_release().manifest
    print(f"release {manifest.id}: {manifest.candidate}, promoted {manifest.promoted_at}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
