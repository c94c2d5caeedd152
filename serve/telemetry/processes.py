"""Several processes, one set of metrics: each writes to files of a shared folder, and whoever is scraped adds them up."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's; it looks once, when it is imported


@contextmanager
def shared_metrics(workers: int) -> Iterator[None]:
    """Give the processes that are started within the block a folder for their metrics; for one process do nothing.

    The folder is always new: counts of an earlier run would be added to these.
    """
    if workers == 1:
        yield
        return
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="metrics-", dir=before) as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


def living(folder: str) -> list[int]:
    """Return the ids of the processes that write to the folder and are alive."""
    return sorted(pid for pid in _writers(folder) if _is_alive(pid))


def forget_dead(folder: str) -> None:
    """Drop what processes that ended left of things that live (requests under way); what they counted stays counted."""
    for pid in _writers(folder):
        if not _is_alive(pid):
            for left in Path(folder).glob(f"gauge_live*_{pid}.db"):
                left.unlink(missing_ok=True)  # another process may be scraped, too


def _writers(folder: str) -> set[int]:
    found = (re.fullmatch(r".*_(\d+)\.db", path.name) for path in Path(folder).iterdir())
    return {int(match[1]) for match in found if match}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
