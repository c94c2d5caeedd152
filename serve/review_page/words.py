"""What is stored, in a pharmacist's words. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from orchestrator.safety import load_rules
from orchestrator.schema import Category, Channel, FailureKind, Severity
from orchestrator.store.escalations import Status
from orchestrator.store.review import Happened, Step

SPACE = "\N{NO-BREAK SPACE}"
SEVERITY = {Severity.EMERGENCY: "Emergency", Severity.URGENT: "Urgent", Severity.ROUTINE: "Routine"}
CATEGORY = {
    Category.INFORMATIONAL: "Information",
    Category.SERVICE_ACTION: "Service",
    Category.SAFETY_COMPLIANCE: "Safety",
}
MEANING = {
    Category.INFORMATIONAL: "a question that an article answers",
    Category.SERVICE_ACTION: "something to be done: an order, a refund, an appointment",
    Category.SAFETY_COMPLIANCE: "somebody may come to harm, or a rule was broken",
}
CHANNEL = {Channel.CHAT: "chat", Channel.VOICE: "telephone", Channel.MAIL: "mail"}
STATUS = {
    Status.OPEN: "Unclaimed",
    Status.CLAIMED: "Claimed",
    Status.ACKNOWLEDGED: "Being dealt with",
    Status.RESOLVED: "Resolved",
}
STEP = {
    Step.OPENED: "Put on the queue",
    Step.CLAIMED: "Claimed",
    Step.ACKNOWLEDGED: "Begun to act",
    Step.PAGED_OVERDUE: "Paged as overdue",
    Step.LABELLED: "Labelled",
    Step.RESOLVED: "Resolved",
}
SOURCE = {"logprob": "the model's probabilities", "verbalized": "what the model said of its certainty", "local": "the local classifier"}
FAILURE = {
    FailureKind.TIMEOUT: "it did not answer in time",
    FailureKind.CONNECTION: "it could not be reached",
    FailureKind.RATE_LIMITED: "it was asked too often",
    FailureKind.QUOTA: "its quota is used up",
    FailureKind.REJECTED: "it did not take the request",
    FailureKind.SERVER: "it failed",
    FailureKind.REFUSED: "it refused to answer",
    FailureKind.TRUNCATED: "its answer was cut off",
    FailureKind.UNPARSABLE: "its answer could not be read",
    FailureKind.DEADLINE: "the message had to be answered before it did",
    FailureKind.BREAKER_OPEN: "it was failing and was not asked",
}
DONE = {
    "claimed": "It is yours now. Say so when you begin to act.",
    "acknowledged": "You have begun to act. Write down what was done when it is.",
    "resolved": "Resolved and written down.",
}


def duration(span: timedelta) -> str:
    """Return a span of time in its two largest units, as ``2 hours 5 minutes``."""
    minutes = int(abs(span).total_seconds() // 60)
    if minutes == 0:
        return "less than a minute"
    units = (("day", minutes // 1440), ("hour", minutes // 60 % 24), ("minute", minutes % 60))
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for unit, count in _two_largest(units) if count)


def time_left(due: datetime, now: datetime, *, overdue: bool) -> str:
    """Return how long there is left, or how long it has been overdue."""
    if overdue and due >= now:
        return "overdue: it was opened before the clock was set back"
    return f"overdue by {duration(now - due)}" if overdue else f"{duration(due - now)} left"


def moment(at: datetime) -> str:
    """Return a moment in the time of the machine that serves the page."""
    return f"{at.astimezone():%d %b %Y, %H:%M %Z}"


def percent(share: float) -> str:
    """Return a share in whole percent; next to certain is not certain."""
    if 0 < share < 0.01:
        return f"below 1{SPACE}%"
    return f"above 99{SPACE}%" if 0.99 < share < 1 else f"{100 * share:.0f}{SPACE}%"


def flag(name: str) -> str:
    """Return why a red flag matters; nothing for one that is no longer among the rules."""
    return _reasons().get(name, "")


def happened(one: Happened) -> str:
    """Return one step of the history, without who and when."""
    return STEP[one.step] + (f" as {CATEGORY[one.label].lower()}" if one.label else "")


def _two_largest(units: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    first = next(place for place, (_, count) in enumerate(units) if count)
    return units[first : first + 2]


@cache
def _reasons() -> dict[str, str]:
    return {rule.id: rule.reason for rule in load_rules()}
