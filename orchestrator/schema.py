"""The records that travel through the system: what a message is and what becomes of it.

Every record is frozen and forbids unknown fields, so a typo in a file is an error and not a silence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Record(BaseModel):
    """A frozen record without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Category(StrEnum):
    """The three things a message can be. Precedence: safety over service over information."""

    INFORMATIONAL = "informational"
    SERVICE_ACTION = "service_action"
    SAFETY_COMPLIANCE = "safety_compliance"


CATEGORIES: tuple[Category, ...] = tuple(Category)
SAFETY_INDEX = CATEGORIES.index(Category.SAFETY_COMPLIANCE)


class Channel(StrEnum):
    """How a message reached the contact centre."""

    CHAT = "chat"
    VOICE = "voice"
    MAIL = "mail"


class Severity(StrEnum):
    """How soon a safety message needs a person: now with an ambulance, today, or for the record."""

    EMERGENCY = "emergency"
    URGENT = "urgent"
    ROUTINE = "routine"


class Source(StrEnum):
    """Where probabilities come from: calibrators are never shared between sources."""

    LOGPROB = "logprob"
    VERBALIZED = "verbalized"
    LOCAL = "local"


class Asked(Record):
    """What gave raw probabilities: a prompt with its examples on a model, or the local classifier. What is fitted on them fits no other."""

    prompt: str  # SHA-256 of the prompt and of every example it may show; empty for the local classifier
    model: str  # digest of the weights or the snapshot; of the parameters for the local classifier


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Probabilities(Record):
    """A distribution over the three categories; the three numbers add up to 1."""

    informational: Share
    service_action: Share
    safety_compliance: Share

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.informational + self.service_action + self.safety_compliance
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"probabilities add up to {total!r}, not to 1")
        return self

    @classmethod
    def from_vector(cls, vector: NDArray[np.float64] | list[float]) -> Self:
        """Take three non-negative numbers in the order of ``CATEGORIES`` and normalise them."""
        values = np.asarray(vector, dtype=np.float64)
        values = values / values.sum()
        return cls(**dict(zip((c.value for c in CATEGORIES), values.tolist(), strict=True)))

    def vector(self) -> NDArray[np.float64]:
        """Return the three probabilities in the order of ``CATEGORIES``."""
        return np.array([self.informational, self.service_action, self.safety_compliance])

    @property
    def top(self) -> Category:
        """The most probable category; ties go to the one of higher precedence."""
        vector = self.vector()
        return CATEGORIES[len(vector) - 1 - int(np.argmax(vector[::-1]))]

    @property
    def confidence(self) -> float:
        """The probability of the most probable category."""
        return float(self.vector().max())

    @property
    def safety(self) -> float:
        """P(safety_compliance)."""
        return self.safety_compliance


class Message(Record):
    """What a customer wrote or said. ``text`` is data and is never interpreted."""

    text: str = Field(min_length=1)
    channel: Channel = Channel.CHAT
    metadata: dict[str, Any] = Field(default_factory=dict)


class FailureKind(StrEnum):
    """Why there is no answer from the LLM."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    REJECTED = "rejected"
    SERVER = "server"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    UNPARSABLE = "unparsable"
    DEADLINE = "deadline"  # the message's own, before the LLM's time was over
    BREAKER_OPEN = "breaker_open"  # it was not asked


class Failure(Record):
    """No answer, as a value. It counts as wrong in every denominator.

    ``retry_after_s`` is how many seconds the server asks to be left alone for, where it says so.
    """

    kind: FailureKind
    detail: str
    retry_after_s: float | None = None


class Usage(Record):
    """What one LLM call cost.

    ``latency_s`` is the service time in seconds, queueing not included, and 0 where nobody measured it (a batch).
    ``price_factor`` is the share of the list price paid. ``queue_s`` is the wait for a slot and for retries; it is of this run and
    not of the reply, so it is never written anywhere.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    price_factor: float = 1.0
    queue_s: float = Field(default=0.0, exclude=True)


class Answer(Record):
    """What one LLM call says of one message: raw probabilities, or the failure in their place."""

    probabilities: Probabilities | None = None
    source: Source | None = None
    label_mass: float | None = None
    rationale: str | None = None
    failure: Failure | None = None
    usage: Usage = Usage()

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if (self.probabilities is None) == (self.failure is None):
            raise ValueError("an answer holds probabilities or a failure, exactly one of them")
        return self


class Band(StrEnum):
    """How far a confidence can be trusted to act alone."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"
    UNCERTAIN = "uncertain"


class Decision(Record):
    """The category acted on, and whether a person looks at it.

    ``routed_as_safety`` is true when the message is handled as safety or goes to a person *because*
    it may be safety: this is what safety capture counts.
    """

    category: Category
    confidence: Share
    band: Band
    review_required: bool
    sampled_for_audit: bool = False
    routed_as_safety: bool
    path: str


class Classification(Record):
    """Everything known about the category of one message."""

    decision: Decision
    probabilities: Probabilities
    raw_probabilities: Probabilities | None = None
    source: Source
    calibrated: bool
    uncalibrated: str | None = None  # why the probabilities are not calibrated
    degraded: bool
    label_mass: float | None = None
    rationale: str | None = None
    red_flags: tuple[str, ...]
    local_safety: float
    failure: Failure | None = None
    usage: Usage


class NextStep(Record):
    """What happens now. ``message`` is meant for the customer."""

    action: str
    message: str
    eta_minutes: int | None = None


class WorkflowResult(Record):
    """What a workflow did: a next step and the details of its kind."""

    workflow: Category
    next_step: NextStep
    details: dict[str, Any] = Field(default_factory=dict)


class Outcome(Record):
    """The full answer to one message: how it was classified and what was done."""

    request_id: str
    release: str
    classification: Classification
    result: WorkflowResult
    processing_time_ms: float
