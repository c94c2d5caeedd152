"""The promoted system as an MLflow model: a table of messages in, a table of decisions out.

This file is logged as the model's code (models from code), beside the orchestrator and the folder of the release: whoever loads the
model runs it without the harness. So it imports nothing of ``evals``.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from orchestrator.catalogue import Model, find_model
from orchestrator.classify import Classifier
from orchestrator.connect import open_classifier, open_llm
from orchestrator.release import Release, load_release
from orchestrator.schema import Channel, Classification, Message

T = TypeVar("T")
DEADLINE_S = 30.0  # of one message: the service's
REMOTE_AT_ONCE = 16  # the connections that the client keeps; the server in this process answers one at a time


class MessageClassifier(PythonModel):
    """Classifies messages as the service does. Where the LLM does not answer, the answer is degraded, never missing.

    The LLM is that of the release: the embedded one in this process, the server at ``LLM_BASE_URL``, or OpenAI with ``OPENAI_API_KEY``.
    """

    def load_context(self, context: Any) -> None:
        """Open the release, every hash verified, and its LLM.

        Raises ``ReleaseError`` where a file was changed and ``CatalogueError`` where the key or the weights of its LLM are missing.
        """
        release = load_release(Path(context.artifacts["champion"]))
        self._loop = _Loop()
        self._classifier, self._at_once = self._loop.run(_open(release, self._loop.stack))
        weakref.finalize(self, self._loop.close)  # when nobody holds the model any more, and when the process ends

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002  # MLflow's signature
        """Classify the rows of a DataFrame with the columns ``message`` and, if it has it, ``channel`` (chat where it is missing).

        Returns one row each, with the index of the input. Raises ``MlflowException`` naming the rows whose message is empty or whose
        channel is unknown.
        """
        messages = _messages(model_input)
        outcomes = self._loop.run(_classify(messages, self._classifier, self._at_once))
        return pd.DataFrame([_row(outcome) for outcome in outcomes], index=model_input.index, columns=list(COLUMNS))


# What comes out: each column's type, as MLflow names it, and its value.
COLUMNS: dict[str, tuple[str, Callable[[Classification], Any]]] = {
    "category": ("string", lambda c: c.decision.category.value),
    "confidence": ("double", lambda c: c.decision.confidence),
    "band": ("string", lambda c: c.decision.band.value),
    "informational": ("double", lambda c: c.probabilities.informational),
    "service_action": ("double", lambda c: c.probabilities.service_action),
    "safety_compliance": ("double", lambda c: c.probabilities.safety_compliance),
    "routed_as_safety": ("boolean", lambda c: c.decision.routed_as_safety),
    "review_required": ("boolean", lambda c: c.decision.review_required),
    "degraded": ("boolean", lambda c: c.degraded),
    "decision_path": ("string", lambda c: c.decision.path),
}


def _row(classification: Classification) -> dict[str, Any]:
    return {name: value(classification) for name, (_, value) in COLUMNS.items()}


def _messages(table: pd.DataFrame) -> list[Message]:
    """Return the messages of a table, checked."""
    texts = table["message"].tolist()
    channels = table["channel"].tolist() if "channel" in table.columns else [None] * len(texts)
    filled = [Channel.CHAT.value if pd.isna(channel) else channel for channel in channels]
    known = set(Channel)
    empty = [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    foreign = [i for i, channel in enumerate(filled) if channel not in known]
    if empty or foreign:
        problems = [f"row(s) {_some(empty)}: the message is empty"] if empty else []
        problems += [f"row(s) {_some(foreign)}: the channel is none of {', '.join(Channel)}"] if foreign else []
        raise MlflowException("; ".join(problems) + " (rows are counted from 0)", error_code=INVALID_PARAMETER_VALUE)
    return [Message(text=text, channel=Channel(channel)) for text, channel in zip(texts, filled, strict=True)]


def _some(rows: Sequence[int], most: int = 10) -> str:
    return ", ".join(map(str, rows[:most])) + (f" and {len(rows) - most} more" if len(rows) > most else "")


async def _open(release: Release, stack: AsyncExitStack) -> tuple[Classifier, int]:
    model = find_model(release.manifest.model)
    llm = await stack.enter_async_context(open_llm(model, os.environ, connections=REMOTE_AT_ONCE, deadline_s=DEADLINE_S, attempts=1))
    return open_classifier(release, llm), 1 if _in_process(model) else REMOTE_AT_ONCE


def _in_process(model: Model) -> bool:
    return model.provider == "embedded" and not os.environ.get("LLM_BASE_URL")


async def _classify(messages: Sequence[Message], classifier: Classifier, at_once: int) -> list[Classification]:
    free = asyncio.Semaphore(at_once)

    async def one(message: Message) -> Classification:
        async with free:
            return await classifier(message)

    return list(await asyncio.gather(*map(one, messages)))


class _Loop:
    """An event loop in a thread of its own, so that ``predict`` can be called from any thread, also from one that runs a loop."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="message-classifier", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close what was opened and end the thread."""
        self.run(self.stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


set_model(MessageClassifier())  # how MLflow finds the model in its code
