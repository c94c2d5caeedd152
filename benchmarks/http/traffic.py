"""The messages that are sent: rows of the dev split, in the shares that traffic has them (``params.yaml``, ``prior``)."""

from __future__ import annotations

import json
import random
from pathlib import Path

from evals.data import Row, Split, load_split
from evals.workspace import Workspace
from orchestrator.release import load_release

ROOT = Path(__file__).resolve().parent.parent.parent
DRAWN, SEED = 2_000, 20261127


def drawn_rows() -> list[Row]:
    """Return messages drawn at random from dev, by the prior of their categories; always the same ones."""
    rows, prior = load_split(ROOT / "datasets", Split.DEV), Workspace(ROOT).params().prior
    draw = random.Random(SEED)  # noqa: S311  # no secret
    by_label = {label: [row for row in rows if row.label == label] for label in prior}
    labels = draw.choices(list(prior), weights=list(prior.values()), k=DRAWN)
    return [draw.choice(by_label[label]) for label in labels]


def requests() -> list[bytes]:
    """Return the messages as HTTP requests, ready to be written to a socket."""
    return [_request({"message": row.message, "channel": row.channel.value}) for row in drawn_rows()]


def codes() -> list[str]:
    """Return the codes by which the champion's prompt has its categories named."""
    return list(load_release().prompt.codes.values())


def known() -> dict[str, str]:
    """Return the code of every message that is sent, for an LLM that is always right."""
    named = load_release().prompt.codes
    return {row.message: named[row.label] for row in drawn_rows()}


def _request(fields: dict[str, str]) -> bytes:
    body = json.dumps(fields).encode()
    head = "POST /api/v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
