"""Take away what an interrupted logging left, so that the same results never stand there twice."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from evals.tracking.session import Session

if TYPE_CHECKING:
    from mlflow.entities import Run

KEY = "result_key"
INCOMPLETE = "incomplete"
ABANDONED_S = 3600.0  # logging takes a minute at most: who is still at it after an hour died on another machine


def logged_by() -> dict[str, str]:
    """Return the tags that say which process is logging."""
    return {"logged_by": f"{socket.gethostname()}:{os.getpid()}"}


def delete_interrupted(session: Session) -> None:
    """Delete the runs of every logging that did not end well, the children with their parent.

    One that may still be under way, in another process, is left alone.
    """
    for parent in session.client.search_runs([session.experiment], f"tags.{KEY} = '{INCOMPLETE}'"):
        if _dead(parent):
            for child in session.client.search_runs([session.experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"):
                session.client.delete_run(child.info.run_id)
            session.client.delete_run(parent.info.run_id)


def _dead(run: Run) -> bool:
    """Say whether nobody is logging to a run any more."""
    if run.info.status != "RUNNING" or time.time() - run.info.start_time / 1000 > ABANDONED_S:
        return True
    host, _, process = run.data.tags.get("logged_by", "").rpartition(":")
    return host == socket.gethostname() and not _alive(int(process))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        return True
    return True
