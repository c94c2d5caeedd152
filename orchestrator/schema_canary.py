"""Whether an LLM's server does what it is relied on for: holds replies to the JSON schema, and gives log-probabilities.

Some servers answer 200 and ignore the one or the other. Then messages would be answered without the LLM, or by another reading of its
replies than was evaluated, and nobody would know why. So it is asked once, when the service starts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from enum import StrEnum

from orchestrator.catalogue import Model
from orchestrator.llm import LLM, Reply, Request, Turn
from orchestrator.schema import Failure, FailureKind

WITHIN_S = 20.0  # a provider compiles a schema it has not seen before, which can take ten seconds
ATTEMPTS = 2
MAX_TOKENS = 64  # the only allowed answer takes some twenty, whitespace included
REFUSING = frozenset({FailureKind.REJECTED, FailureKind.REFUSED, FailureKind.QUOTA})
_log = logging.getLogger(__name__)


class Finding(StrEnum):
    """What came of it."""

    PENDING = "pending"  # not known yet
    OK = "ok"
    IGNORES_SCHEMA = "ignores_schema"
    NO_LOGPROBS = "no_logprobs"  # although the catalogue says that it gives them
    REFUSED = "refused"  # it takes no such request: no key, no quota, an unknown model or parameter
    UNREACHABLE = "unreachable"


class SchemaCanary:
    """Asks an LLM for an answer that only the schema tells: a word made up just now. ``finding`` is what came of it.

    The log says it, too. It never raises and ends within ``within_s`` seconds; where the first answer is not as it should be it asks again.
    """

    def __init__(self, llm: LLM, model: Model, *, within_s: float = WITHIN_S) -> None:
        """Ask ``llm``, which is to be ``model``, when ``look`` is called."""
        self._llm = llm
        self._model = model
        self._within_s = within_s
        self.finding = Finding.PENDING

    async def look(self) -> Finding:
        """Ask, keep the finding and return it."""
        told = ""
        try:
            async with asyncio.timeout(self._within_s):
                for _ in range(ATTEMPTS):
                    self.finding, told = await self._ask()
                    if self.finding is Finding.OK:
                        break
        except TimeoutError:
            self.finding = Finding.UNREACHABLE
        except Exception as error:  # noqa: BLE001  # whatever it is, the service serves on
            self.finding, told = Finding.UNREACHABLE, type(error).__name__
        level = logging.INFO if self.finding is Finding.OK else logging.WARNING
        _log.log(level, "LLM %s: %s%s", self._model.api_id, self.finding.value, told and f" ({told})")
        return self.finding

    async def _ask(self) -> tuple[Finding, str]:
        word = f"w{secrets.token_hex(2)}"  # short: each token takes its time on a small machine
        reply = await self._llm(canary_request(self._model, word))
        if isinstance(reply, Failure):
            return _finding_of(reply), f"{reply.kind.value}: {reply.detail}"  # no customer's words: it was asked nothing of theirs
        if not _holds(reply, word):
            return Finding.IGNORES_SCHEMA, "the reply is not what the schema allows"
        if self._model.top_logprobs and not any(token.alternatives for token in reply.tokens):
            return Finding.NO_LOGPROBS, f"top_logprobs is {self._model.top_logprobs} in orchestrator/models.yaml"
        return Finding.OK, ""


def canary_request(model: Model, word: str) -> Request:
    """Return a request whose only allowed answer is ``word``, which the turns do not hold."""
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": [word]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return Request(
        model=model.api_id,
        model_digest="",  # never cached
        turns=(Turn(role="user", content="Say hello."),),
        answer_schema=schema,
        max_tokens=MAX_TOKENS,
        temperature=model.temperature,
        top_logprobs=model.top_logprobs,
        extra=model.extra,
    )


def _finding_of(failure: Failure) -> Finding:
    if failure.kind is FailureKind.TRUNCATED:  # it talks: the allowed answer would have ended by itself
        return Finding.IGNORES_SCHEMA
    return Finding.REFUSED if failure.kind in REFUSING else Finding.UNREACHABLE


def _holds(reply: Reply, word: str) -> bool:
    try:
        return bool(json.loads(reply.text) == {"answer": word})
    except ValueError:
        return False
