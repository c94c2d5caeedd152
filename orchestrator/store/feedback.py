"""Labels that people gave: stored beside the audit event, exported as redacted, labelled rows that ``python -m evals import`` takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from orchestrator.errors import OrchestratorError
from orchestrator.redact import untokened
from orchestrator.schema import Category
from orchestrator.store.tables import Feedback, Interaction


def add_feedback(
    connection: Connection, request_id: str, label: Category, *, by: str, note: str, now: datetime
) -> tuple[Category, dict[str, Any]]:
    """Store a label (its note redacted by the caller); return the category that was decided and the audit event.

    Raises ``OrchestratorError`` for an unknown message, and where nobody is named.
    """
    if not by.strip():
        raise OrchestratorError("a label needs a name: say who gives it")
    row = connection.execute(select(Interaction.category, Interaction.release).where(Interaction.request_id == request_id)).first()
    if row is None:
        raise OrchestratorError(f"there is no message {request_id!r} here: take the request_id from the answer or the escalations")
    by = by.strip()
    given = {"request_id": request_id, "created_at": now, "decided": row.category, "label": label.value, "by": by, "note": note}
    connection.execute(insert(Feedback), [given])
    event = {
        "kind": "corrected",
        "at": now.isoformat(),
        "request_id": request_id,
        "release": row.release,
        "decided": row.category,
        "label": label.value,
        "by": by,
    }
    return Category(row.category), event


def labelled_rows(connection: Connection, *, corrections_only: bool = False) -> Iterator[dict[str, str]]:
    """Yield each labelled message once, with the last label it was given: what ``python -m evals import`` reads.

    The text is the redacted one. Messages that were erased or have expired are left out.
    """
    last = select(func.max(Feedback.id)).group_by(Feedback.request_id)
    query = (
        select(Feedback.request_id, Interaction.redacted_text, Feedback.label, Feedback.decided, Interaction.channel, Feedback.by)
        .join(Interaction, Interaction.request_id == Feedback.request_id)
        .where(Feedback.id.in_(last), Interaction.redacted_text != "")
        .order_by(Feedback.id)
    )
    if corrections_only:
        query = query.where(Feedback.label != Feedback.decided)
    for row in connection.execute(query):
        yield {
            "id": row.request_id,
            "message": untokened(row.redacted_text),
            "label": row.label,
            "channel": row.channel,
            "decided": row.decided,
        }
