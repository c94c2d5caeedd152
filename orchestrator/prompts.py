"""Load a versioned prompt and render it: ``Message -> Request``.

A prompt file is YAML: the templates (Jinja2, an unknown variable is an error), the fields of the answer
and the few-shot examples, given by id of the dev split or retrieved for each message. The message is a value handed
to the template, never template code, so it reaches the model unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import jinja2
import jinja2.meta
import numpy as np
import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from orchestrator.errors import PromptError
from orchestrator.llm import Request, Turn
from orchestrator.schema import CATEGORIES, Asked, Category, Message, Record
from orchestrator.tfidf import Corpus

if TYPE_CHECKING:
    from orchestrator.catalogue import Model

AnswerField = Literal["category", "confidence", "reasoning", "probabilities"]

VERBALISE = "\n\nAlso give `probabilities`: how likely each of the three categories is, as numbers between 0 and 1 that add up to 1."
VERBALISE_TOKENS = 64  # what three numbers and their names take


class Example(Record):
    """A labelled message that a prompt may show: a row of the dev split."""

    id: str
    message: str
    label: Category


class Shot(Record):
    """A few-shot example chosen by the prompt's author. ``reasoning`` is shown when the answer has it."""

    id: str
    reasoning: str | None = None


class Retrieval(Record):
    """Choose the ``k`` nearest dev rows of at most ``max_chars`` characters by TF-IDF, for each message."""

    k: int = Field(ge=1, le=32)
    max_chars: int = Field(ge=20)


class Prompt(Record):
    """One version of the prompt. Files are append-only: a change is a new version."""

    id: str = Field(pattern=r"^classify-\d{3}$")
    title: str
    system: str
    user: str = "{{ message }}"
    answer: tuple[AnswerField, ...] = ("category",)
    codes: dict[Category, str] = Field(default_factory=lambda: {c: c.value for c in CATEGORIES})
    shots: tuple[Shot, ...] = ()
    retrieve: Retrieval | None = None
    reasoning_max_chars: int = 120
    max_tokens: int = Field(ge=4, le=1024)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("answer")
    @classmethod
    def _category_first(cls, answer: tuple[str, ...]) -> tuple[str, ...]:
        if not answer or answer[0] != "category" or len(set(answer)) != len(answer):
            raise ValueError("`answer` starts with category (a rationale after it cannot sway it), no field twice")
        return answer

    @model_validator(mode="after")
    def _codes_tell_apart(self) -> Self:
        if set(self.codes) != set(CATEGORIES) or len(set(self.codes.values())) != len(CATEGORIES):
            raise ValueError("`codes` gives each of the three categories a code of its own")
        if self.shots and self.retrieve:
            raise ValueError("give `shots` or `retrieve`, not both")
        return self

    def category_of(self, code: str) -> Category | None:
        """Return the category a code stands for, or None."""
        return next((category for category, own in self.codes.items() if own == code), None)


def load_prompt(path: Path) -> Prompt:
    """Read a prompt file.

    Raises ``PromptError`` naming the file and what is wrong with it: not YAML, a field that does not
    exist, an id other than the file's name, a template that does not parse, or an undefined variable.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror}); prompts are prompts/classify-00N.yaml") from None
    try:
        fields = yaml.safe_load(raw)
        prompt = Prompt(**fields, sha256=hashlib.sha256(raw).hexdigest())
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise PromptError(f"{path}: {error}") from None
    if prompt.id != path.stem:
        raise PromptError(f"{path}: the id is {prompt.id!r}, but the file's name says {path.stem!r}; make them equal")
    for name in ("system", "user"):
        _expand(prompt, name, Message(text="a message"), origin=str(path))
    return prompt


def answer_schema(prompt: Prompt, model: Model) -> dict[str, Any]:
    """Return the JSON schema of the answer; it is sent to the model, so it holds no descriptions."""
    reasoning: dict[str, Any] = {"type": "string"}
    if model.max_length:
        reasoning["maxLength"] = prompt.reasoning_max_chars
    types: dict[str, dict[str, Any]] = {
        "category": {"type": "string", "enum": [prompt.codes[c] for c in CATEGORIES]},
        "confidence": {"type": "number"},
        "reasoning": reasoning,
        "probabilities": {
            "type": "object",
            "properties": {prompt.codes[c]: {"type": "number"} for c in CATEGORIES},
            "required": [prompt.codes[c] for c in CATEGORIES],
            "additionalProperties": False,
        },
    }
    fields = _fields(prompt, model)
    return {
        "type": "object",
        "properties": {field: types[field] for field in fields},
        "required": list(fields),
        "additionalProperties": False,
    }


class Renderer:
    """A prompt bound to a model and to the examples it may show: ``Message -> Request``. ``asked`` says what it is bound to."""

    def __init__(self, prompt: Prompt, model: Model, examples: Sequence[Example], digest: str | None = None) -> None:
        """Bind; raise ``PromptError`` when a shot is not among ``examples`` (the dev split).

        ``digest`` stands for the model's where its weights are not here to be looked at.
        """
        self._prompt = prompt
        self._model = model
        self._digest = digest or model.digest()
        self._schema = answer_schema(prompt, model)
        known = {example.id: example for example in examples}
        missing = [shot.id for shot in prompt.shots if shot.id not in known]
        if missing:
            raise PromptError(f"{prompt.id}: shots {', '.join(missing)} are not rows of the dev split")
        self._shots = tuple((known[shot.id], shot.reasoning) for shot in prompt.shots)
        self._nearest = nearest(examples, prompt.retrieve) if prompt.retrieve else None
        shown = tuple(examples) if prompt.retrieve else tuple(example for example, _ in self._shots)
        self.asked = Asked(prompt=_digest(prompt, shown), model=self._digest)
        self._verbalise = "probabilities" in self._schema["properties"] and "probabilities" not in prompt.answer
        # What is the same in every request of a channel is rendered once: rendering it anew took most of a run's time.
        self._system_shows_message = "message" in jinja2.meta.find_undeclared_variables(_jinja.parse(prompt.system))
        self._same_system = cache(lambda channel: self._system(Message(text="any", channel=channel)))
        self._shown = cache(lambda text, channel: self._user(Message(text=text, channel=channel)))
        self._answers = cache(self._shown_answer)

    def __call__(self, message: Message) -> Request:
        """Render the request for one message."""
        prompt, model = self._prompt, self._model
        turns = [self._system(message) if self._system_shows_message else self._same_system(message.channel)]
        shots = self._shots or tuple((e, None) for e in (self._nearest(message.text) if self._nearest else ()))
        for example, reasoning in shots:
            turns += (self._shown(example.message, message.channel), self._answers(example.label, reasoning))
        turns.append(self._user(message))
        return Request(
            model=model.api_id,
            model_digest=self._digest,
            turns=tuple(turns),
            answer_schema=self._schema,
            max_tokens=prompt.max_tokens + (VERBALISE_TOKENS if self._verbalise else 0),
            temperature=model.temperature,
            top_logprobs=model.top_logprobs,
            extra=model.extra,
        )

    def _system(self, message: Message) -> Turn:
        content = _expand(self._prompt, "system", message, origin=self._prompt.id)
        return Turn(role="system", content=content + VERBALISE if self._verbalise else content)

    def _user(self, message: Message) -> Turn:
        return Turn(role="user", content=_expand(self._prompt, "user", message, origin=self._prompt.id))

    def _shown_answer(self, label: Category, reasoning: str | None) -> Turn:
        codes = self._prompt.codes
        values = {
            "category": codes[label],
            "confidence": 0.95,
            "reasoning": reasoning or "",
            "probabilities": {codes[c]: 0.95 if c == label else 0.025 for c in CATEGORIES},
        }
        shown = {field: values[field] for field in self._schema["properties"]}
        return Turn(role="assistant", content=json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


def nearest(examples: Sequence[Example], retrieval: Retrieval) -> Callable[[str], list[Example]]:
    """Return a function from a text to its nearest examples, the nearest last (beside the message).

    Nearness is the cosine of word TF-IDF vectors. An example with the very same text is never shown.
    """
    pool = sorted((example for example in examples if len(example.message) <= retrieval.max_chars), key=lambda example: example.id)
    cosines = Corpus([example.message for example in pool])

    def look_up(text: str) -> list[Example]:
        order = np.argsort(-cosines(text), kind="stable")  # stable: equally near examples go by id
        chosen = islice((pool[i] for i in order.tolist() if pool[i].message != text), retrieval.k)
        return list(chosen)[::-1]

    return look_up


def _digest(prompt: Prompt, examples: Sequence[Example]) -> str:
    """Return the SHA-256 of a prompt and of the examples it may show."""
    lines = [prompt.sha256, *(example.model_dump_json() for example in sorted(examples, key=lambda example: example.id))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _fields(prompt: Prompt, model: Model) -> tuple[str, ...]:
    """Without log-probabilities the model is asked for a distribution over all three."""
    if model.top_logprobs or "probabilities" in prompt.answer:
        return prompt.answer
    return (*prompt.answer, "probabilities")


# Prompts are plain text for a model, not HTML: escaping would change the message.
_jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False)  # noqa: S701
_template = cache(_jinja.from_string)  # compiling costs more than rendering


def _expand(prompt: Prompt, name: str, message: Message, *, origin: str) -> str:
    template: str = getattr(prompt, name)
    try:
        return _template(template).render(
            message=message.text,
            channel=message.channel.value,
            codes={c.value: code for c, code in prompt.codes.items()},
        )
    except jinja2.UndefinedError as error:
        raise PromptError(f"{origin}: `{name}`: {error.message}; known: message, channel, codes") from None
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"{origin}: `{name}` line {error.lineno}: {error.message}") from None
