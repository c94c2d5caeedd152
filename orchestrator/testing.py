"""LLMs for tests, shipped with the package: scripted answers and faults, behind the same seam."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping

from orchestrator.llm import Reply, Request, Token
from orchestrator.schema import Failure, FailureKind, Usage


class ScriptedLLM:
    """Answers with the label-token distribution that ``script`` gives for the last user turn.

    ``script`` maps the text to ``{code: probability}``. The log-probabilities have the form a real server's have.
    ``calls`` counts the requests and ``peak`` the most that were under way at once.
    """

    def __init__(self, script: Callable[[str], Mapping[str, float]], *, delay_s: float = 0.0) -> None:
        """Answer by ``script``, each answer after ``delay_s`` seconds."""
        self._script = script
        self._delay_s = delay_s
        self.calls = 0
        self.peak = 0
        self._under_way = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:
        """Answer one request."""
        self.calls += 1
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        await asyncio.sleep(self._delay_s)
        self._under_way -= 1
        return scripted_reply(self._script(request.turns[-1].content))


class FaultyLLM:
    """Fails every time, in one way."""

    def __init__(self, kind: FailureKind) -> None:
        """Fail with ``kind``."""
        self.kind = kind
        self.calls = 0

    async def __call__(self, request: Request, /) -> Reply | Failure:  # noqa: ARG002  # the seam's signature
        """Fail."""
        self.calls += 1
        return Failure(kind=self.kind, detail="scripted")


def scripted_reply(shares: Mapping[str, float]) -> Reply:
    """Return a reply whose category token has the given distribution over codes."""
    code = max(shares, key=lambda name: shares[name])
    alternatives = tuple((name, math.log(max(share, 1e-12))) for name, share in shares.items())
    tokens = (
        Token(text='{"category":"', logprob=0.0),
        Token(text=code, logprob=math.log(shares[code]), alternatives=alternatives),
        Token(text='"}', logprob=0.0),
    )
    return Reply(text=json.dumps({"category": code}, separators=(",", ":")), tokens=tokens, usage=Usage(input_tokens=100, output_tokens=5))
