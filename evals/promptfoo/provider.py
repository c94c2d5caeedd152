"""What promptfoo calls for every case: it looks the row up, asks the subject and returns the whole classification.

promptfoo keeps the process alive, so the model is opened once. Only ids pass through promptfoo, for it would execute what stands in a
message: braces become template code there, and ``file://`` is read.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

from evals.commands.running import paid
from evals.data import Row
from evals.promptfoo.cases import all_cases
from evals.promptfoo.redteam import read_invented
from evals.promptfoo.subject import Subject, find_subject
from evals.workspace import Workspace
from orchestrator.connect import open_chat
from orchestrator.schema import Channel, Classification, Message


def call_api(_prompt: str, options: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """Answer one case, ``vars: {row: ID}`` with the name of an ``attack`` or without, or ``vars: {invented: NUMBER}``.

    ``output`` is the classification as JSON. ``metadata`` holds what it is the result of, and the classification of the row that it varies.
    """
    config, names = options["config"], context["vars"]
    session = _open(config["root"], config["candidate"])
    if "invented" in names:
        text = read_invented(Path(config["invented"]))[int(names["invented"])].text
        return session.answer(Message(text=text, channel=Channel.CHAT))
    return session.case(names["row"] + (f"+{names['attack']}" if "attack" in names else ""))


@cache
def _open(root: str, candidate: str) -> Session:
    session = Session(Workspace(Path(root)), candidate)
    atexit.register(session.close)
    return session


class Session:
    """A subject over its LLM, in an event loop of its own."""

    def __init__(self, workspace: Workspace, candidate: str) -> None:
        """Open it; the LLM is that of ``LLM_BASE_URL``, of OpenAI or the embedded one, as for every other program here."""
        self.subject: Subject = find_subject(workspace, candidate)
        self.cases = {case.id: case for case in all_cases(workspace)}
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        chat = self._loop.run(self._stack.enter_async_context(open_chat(self.subject.model, os.environ, connections=1)))
        self._classify = self.subject.over(paid(chat, self.subject.model, most=1))
        self._bases: dict[str, Classification] = {}

    def case(self, name: str) -> dict[str, Any]:
        """Answer the case of an id."""
        case = self.cases[name]
        if case.attack is not None:
            return self.answer(case.as_message())
        if case.expectation is None:
            return self._response(self._base(case.row))
        return self._response(self._asked(case.as_message()), seed=self._base(self.cases[case.row.base_id].row))

    def answer(self, message: Message) -> dict[str, Any]:
        """Answer any message."""
        return self._response(self._asked(message))

    def close(self) -> None:
        """Close the LLM and the loop."""
        self._loop.run(self._stack.aclose())
        self._loop.close()

    def _base(self, row: Row) -> Classification:
        """Return the answer to a row that varies none; it is asked once, for itself and for all its variants."""
        if row.id not in self._bases:
            self._bases[row.id] = self._asked(row.as_message())
        return self._bases[row.id]

    def _asked(self, message: Message) -> Classification:
        return self._loop.run(self._classify(message))

    def _response(self, found: Classification, *, seed: Classification | None = None) -> dict[str, Any]:
        usage = found.usage
        metadata: dict[str, Any] = {"of": self.subject.of}
        if seed is not None:
            metadata["seed"] = json.loads(seed.model_dump_json(exclude_none=True))
        tokens = {"prompt": usage.input_tokens, "completion": usage.output_tokens, "total": usage.input_tokens + usage.output_tokens}
        return {
            "output": found.model_dump_json(exclude_none=True),
            "tokenUsage": tokens,
            "cost": self.subject.model.cost_usd(usage),
            "metadata": metadata,
        }
