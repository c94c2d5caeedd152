"""Is everything in place? What is configured, what answers, and what to do about the rest. Nothing is changed, made or sent."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.doctor.finding import Finding, Status
from orchestrator.doctor.models import check_models
from orchestrator.doctor.outside import check_outside
from orchestrator.doctor.store import check_store

__all__ = ["Finding", "Status", "examine"]


def examine(database: str, environment: Mapping[str, str]) -> list[Finding]:
    """Return what was found, one finding for each thing that was looked at; no secret is in any of them. Takes seconds."""
    return [*check_store(database, environment), *check_models(environment), *check_outside(environment)]
