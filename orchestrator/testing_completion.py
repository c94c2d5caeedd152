"""Replies for tests, and the chat completions that hold them, as the OpenAI protocol has them on the wire."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.llm import Reply, Token
from orchestrator.schema import Usage

Answerer = Callable[[Sequence[Mapping[str, str]]], Mapping[str, float]]


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


def scripted_completion(shares: Mapping[str, float]) -> dict[str, Any]:
    """Return ``scripted_reply`` as the OpenAI protocol has it on the wire."""
    reply = scripted_reply(shares)
    return completion(reply.text, tokens=reply.tokens)


def obedient_completion(body: Mapping[str, Any], shares: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Return a completion as the request ``body`` asks for it: every field of its schema, and log-probabilities where it wants them.

    ``shares`` is the distribution over the category's codes; without it the first code has 0.9.
    """
    properties: Mapping[str, Any] = body["response_format"]["json_schema"]["schema"]["properties"]
    codes = next(field["enum"] for field in properties.values() if "enum" in field)
    shares = shares or {code: 0.9 if code == codes[0] else 0.1 / (len(codes) - 1) for code in codes}
    code = max(shares, key=lambda name: shares[name])
    text = json.dumps({name: _value(name, field, code, shares) for name, field in properties.items()}, separators=(",", ":"))
    if not body.get("logprobs"):
        return completion(text)
    head, _, tail = text.partition(code)
    alternatives = tuple((name, math.log(max(share, 1e-12))) for name, share in shares.items())
    chosen = Token(text=code, logprob=math.log(shares[code]), alternatives=alternatives)
    return completion(text, tokens=(Token(text=head, logprob=0.0), chosen, Token(text=tail, logprob=0.0)))


def completion(text: str, *, tokens: Sequence[Token] = (), finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """Return a chat completion that holds ``text``; it counts 100 tokens in and 5 out."""
    content = [
        {
            "token": token.text,
            "logprob": token.logprob,
            "bytes": None,
            "top_logprobs": [{"token": name, "logprob": logprob, "bytes": None} for name, logprob in token.alternatives],
        }
        for token in tokens
    ]
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, "refusal": refusal},
        "logprobs": {"content": content, "refusal": None} if content else None,
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    return {"id": "scripted", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice], "usage": usage}


def _value(name: str, field: Mapping[str, Any], code: str, shares: Mapping[str, float]) -> Any:
    """Return what an answer has for one field of the schema."""
    if "enum" in field:
        return code
    if name == "probabilities":
        return dict(shares)
    return shares[code] if field["type"] == "number" else "scripted"
