"""A hard cap on what a run spends: an LLM around an LLM that never begins a call it might not be able to pay for."""

from __future__ import annotations

import asyncio
import json

from orchestrator.catalogue import Model
from orchestrator.llm import LLM, Reply, Request
from orchestrator.schema import Failure, FailureKind, Usage

# For these the provider has certainly not worked; every other failure may have been billed, and is taken to have been, at its worst price.
UNBILLED = frozenset({FailureKind.RATE_LIMITED, FailureKind.QUOTA, FailureKind.REJECTED})
TURN_TOKENS = 16  # what a chat format adds to a turn is under 10 in all published ones
FORMAT_TOKENS = 256  # what a server adds on its own for structured answers


class Budgeted:
    """Reserve the worst price of every call before it, settle for the actual one after it; all in USD at list price.

    When a reserve does not fit beside what is spent and reserved, the call waits for those under way to settle; if it does not fit
    even then, the answer is a failure of kind quota, which ends a run (see ``evals.run``).
    """

    def __init__(self, llm: LLM, model: Model, *, max_usd: float) -> None:
        """Wrap ``llm``, whose calls cost what ``model`` says, and spend no more than ``max_usd``."""
        self._llm = llm
        self._model = model
        self._max_usd = max_usd
        self._reserved: list[float] = []
        self._settled = asyncio.Event()
        self.spent_usd = 0.0
        self.unknown_usd = 0.0  # the part of it that is the worst price of calls whose cost never came

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request if it can be paid for."""
        worst = worst_usd(request, self._model)
        while self.spent_usd + sum(self._reserved) + worst > self._max_usd:
            if not self._reserved:
                return Failure(kind=FailureKind.QUOTA, detail=self._refusal(worst))
            self._settled.clear()
            await self._settled.wait()
        self._reserved.append(worst)
        known: float | None = None
        try:
            answer = await self._llm(request)
            if isinstance(answer, Reply):
                known = self._model.cost_usd(answer.usage)
            elif answer.kind in UNBILLED:
                known = 0.0
            return answer
        finally:
            self._reserved.remove(worst)
            self.spent_usd += worst if known is None else known
            self.unknown_usd += worst if known is None else 0.0
            self._settled.set()

    def _refusal(self, worst: float) -> str:
        unknown = f" ({self.unknown_usd:.4f} of it the most that calls without a reply can have cost)" if self.unknown_usd else ""
        return (
            f"USD {self.spent_usd:.4f} of the cap of {self._max_usd:g} are spent{unknown} and the next call may cost {worst:.4f}; "
            "--max-usd sets the cap, for each run anew"
        )


def worst_usd(request: Request, model: Model) -> float:
    """Return the most that a call can cost, in USD.

    A token of a byte-level vocabulary holds at least one byte, so the UTF-8 bytes of all that is sent bound the input tokens.
    """
    sent = sum(_bytes(turn.content) + TURN_TOKENS for turn in request.turns) + _bytes(json.dumps(request.answer_schema)) + FORMAT_TOKENS
    return model.cost_usd(Usage(input_tokens=sent, output_tokens=request.max_tokens))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
