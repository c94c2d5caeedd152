"""What one look found."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from urllib.parse import urlsplit

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Record


class Status(StrEnum):
    """Well; worth knowing; broken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Record):
    """What was looked at, how it is, and what to do where it is not well."""

    name: str
    status: Status
    told: str
    advice: str = ""


def ok(name: str, told: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name=name, status=Status.OK, told=told)


def warn(name: str, told: str, advice: str) -> Finding:
    """Return a finding that somebody should know of."""
    return Finding(name=name, status=Status.WARN, told=told, advice=advice)


def fail(name: str, told: str, advice: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(name=name, status=Status.FAIL, told=told, advice=advice)


def looked_at(name: str, look: Callable[[], Finding]) -> Finding:
    """Return what ``look`` finds; an error that a user can mend is a failure, and its text says what to do."""
    try:
        return look()
    except OrchestratorError as error:
        told, _, advice = str(error).partition(": ")
        return fail(name, told, advice)


def without_secrets(url: str) -> str:
    """Return a URL's scheme, host, port and path: user, password and query stay unsaid."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
