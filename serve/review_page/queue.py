"""The queue as a page: what waits, the most severe first, and whether it has changed since."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from orchestrator.errors import OrchestratorError, StoreUnavailableError
from orchestrator.store.escalations import UNRESOLVED, Waiting
from orchestrator.store.review import Counts
from serve.review_page import words
from serve.review_page.door import Visit

PAGE = 50


def show_queue(visit: Visit) -> Response:
    """Show a page of the queue: all of it, what nobody has, or what is one's own."""
    asked = visit.request.query_params
    whose = asked.get("whose", "")
    people: dict[str, tuple[str | None, ...]] = {"nobody": (None,), "mine": (visit.name,)}
    found = _page(visit, asked.get("after"), people.get(whose))
    counts = visit.ledger.waiting_counts()
    return visit.page(
        "queue.html.j2",
        found=found[:PAGE],
        next=found[PAGE - 1].request_id if len(found) > PAGE else None,
        whose=whose if whose in people else "",
        counts=counts,
        seen=_seen(counts),
        now=visit.ledger.clock(),
        done=words.DONE.get(asked.get("done", "")),
        of=asked.get("of", ""),
    )


def tell_change(visit: Visit) -> Response:
    """Say in a few figures what waits; a page that holds others is out of date."""
    return JSONResponse({"seen": _seen(visit.ledger.waiting_counts())}, headers={"Cache-Control": "no-store"})


def _page(visit: Visit, after: str | None, people: tuple[str | None, ...] | None) -> list[Waiting]:
    try:
        return visit.ledger.escalations(UNRESOLVED, PAGE + 1, after=after and after.replace("\0", ""), whose=people)
    except StoreUnavailableError:
        raise
    except OrchestratorError:  # nothing to go on after: it has expired since
        return visit.ledger.escalations(UNRESOLVED, PAGE + 1, whose=people)


def _seen(counts: Counts) -> str:
    return " ".join(map(str, [*counts.by_severity.values(), counts.overdue, counts.unclaimed]))
