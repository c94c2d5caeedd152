"""One escalation as a page, and the steps a person takes with it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import ConflictError, KeysError, OrchestratorError, StoreUnavailableError
from orchestrator.schema import Category
from orchestrator.store.escalations import UNRESOLVED
from orchestrator.store.review import Details
from serve.review_page import words
from serve.review_page.door import Visit

MAX_RESOLUTION, MAX_REASON = 4_000, 500  # characters


def show_item(visit: Visit) -> Response:
    """Show one escalation."""
    asked = visit.request.query_params
    return _shown(visit, _details(visit), done=words.DONE.get(asked.get("done", "")), of=asked.get("of", ""))


def claim(visit: Visit) -> Response:
    """Take it, and stay with it."""
    return _step(visit, lambda item: visit.ledger.claim(item, visit.name), "claimed")


def acknowledge(visit: Visit) -> Response:
    """Begin to act, and stay with it."""
    return _step(visit, lambda item: visit.ledger.acknowledge(item, visit.name), "acknowledged")


def resolve(visit: Visit) -> Response:
    """Close it with what was done and what it was, and go on to the next that is nobody's or one's own."""
    resolution, label = visit.form.get("resolution", ""), visit.form.get("label", "")
    if not resolution or len(resolution) > MAX_RESOLUTION:
        return _wrong(visit, f"Write down what was done, in at most {MAX_RESOLUTION} characters.", resolution=resolution[:MAX_RESOLUTION])
    if label not in set(Category):
        return _wrong(visit, "Say what the message is.", resolution=resolution)
    return _step(visit, lambda item: visit.ledger.resolve(item, visit.name, resolution, Category(label)), "resolved")


def read_whole(visit: Visit) -> Response:
    """Show the whole text of the message, this once; that it was read, by whom and why, is audited before."""
    reason = visit.form.get("reason", "")
    if not reason or len(reason) > MAX_REASON:
        return _wrong(visit, f"Say why you need the whole message, in at most {MAX_REASON} characters.")
    details = _details(visit)
    try:
        whole = visit.ledger.read_message(details.request_id, visit.name, reason)
    except (StoreUnavailableError, KeysError):
        raise
    except OrchestratorError:  # all that is left: the key is gone
        return _shown(visit, details, wrong="The message was erased or has expired: nobody can read it any more.", status=HTTPStatus.GONE)
    return _shown(visit, details, whole=whole)


def _step(visit: Visit, take: Callable[[str], None], done: str) -> Response:
    before = _details(visit)
    try:
        take(before.request_id)
    except ConflictError:
        held = _details(visit)
        return visit.page(
            "conflict.html.j2", status=HTTPStatus.CONFLICT, item=held, wanted=done, next=_next(visit), now=visit.ledger.clock()
        )
    if done != "resolved":
        return _redirect(f"/review/items/{quote(before.request_id, safe='')}?done={done}")
    following = _next(visit)
    to = f"/review/items/{quote(following, safe='')}" if following else "/review"
    return _redirect(f"{to}?done={done}&of={quote(before.request_id, safe='')}")


def _next(visit: Visit) -> str | None:
    found = visit.ledger.escalations(UNRESOLVED, 1, whose=(None, visit.name))
    return found[0].request_id if found else None


def _wrong(visit: Visit, wrong: str, *, resolution: str = "") -> Response:
    return _shown(visit, _details(visit), wrong=wrong, resolution=resolution, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _shown(
    visit: Visit,
    item: Details,
    *,
    status: int = HTTPStatus.OK,
    done: str | None = None,
    of: str = "",
    wrong: str = "",
    whole: str | None = None,
    resolution: str = "",
) -> Response:
    told = {"done": done, "of": of, "wrong": wrong, "whole": whole, "resolution": resolution}
    return visit.page("item.html.j2", status=status, item=item, now=visit.ledger.clock(), **told)


def _details(visit: Visit) -> Details:
    request_id = visit.request.path_params["request_id"]
    found = None if "\0" in request_id else visit.ledger.escalation(request_id)  # PostgreSQL takes no NUL
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such message on the queue. It may have expired; the queue shows what waits.")
    return found


def _redirect(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})
