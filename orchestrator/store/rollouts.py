"""The plan that all processes follow: one row a change, none ever changed, each with its audit event.

A plan belongs to the packaged champion it was made over. A deployment with another champion therefore begins with that one, as it was
evaluated, and not with what an operator had switched to before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from orchestrator.errors import OrchestratorError
from orchestrator.rollout.plan import Plan
from orchestrator.schema import Record
from orchestrator.store.tables import RolloutRow


class Change(Record):
    """Who changes what, and why."""

    action: str  # switch, rollback, challenge, stop
    by: str
    reason: str = ""


def read_plan(connection: Connection, champion: str) -> Plan | None:
    """Return the plan over a packaged champion; None where nobody has changed anything yet."""
    newest = select(RolloutRow.plan).where(RolloutRow.champion == champion).order_by(RolloutRow.id.desc()).limit(1)
    plan = connection.scalar(newest)
    return None if plan is None else Plan.model_validate({**plan, "stopped": tuple(plan["stopped"])})


def change_plan(
    connection: Connection, champion: str, step: Callable[[Plan], Plan], change: Change, *, start: Plan, now: datetime
) -> tuple[Plan, dict[str, Any]]:
    """Take a step from the present plan (``start`` where there is none); return the new plan and the audit event, empty for no change.

    The caller's transaction has the plan to itself. Raises what ``step`` raises, and ``OrchestratorError`` where nobody is named.
    """
    if not change.by.strip():
        raise OrchestratorError("releases are switched by somebody: say who")
    before = read_plan(connection, champion) or start
    plan = step(before)
    if plan == before:
        return plan, {}
    row = {"created_at": now, "champion": champion, **change.model_dump(), "plan": plan.model_dump(mode="json")}
    connection.execute(insert(RolloutRow), [row])
    told = {"kind": "release_switched", "at": now.isoformat(), **change.model_dump(), "champion": champion}
    return plan, told | plan.model_dump(mode="json", exclude={"stopped"})
