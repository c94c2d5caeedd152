"""Write a file whole or not at all: to a temporary beside it, which takes its place at the end."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import OrchestratorError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; ``path`` holds what was written once the block ends, and is as it was when the block fails.

    Raises ``OrchestratorError`` when it cannot be written, and while another process writes it. What a killed process left is written over.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with _alone(temporary, path) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def _alone(temporary: Path, path: Path) -> Iterator[BinaryIO]:
    try:
        opened = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OrchestratorError(f"{path} cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(opened, "r+b") as file:
            if not _locked(file.fileno(), temporary):
                raise OrchestratorError(f"another process is writing {path}: wait for it, or name another file")
            file.truncate()
            yield file
    except OSError as error:
        if error.errno in _NO_ROOM:  # any other is not of this file
            raise OrchestratorError(f"{path} cannot be written ({error.strerror}); it is as it was before") from error
        raise


def _locked(opened: int, path: Path) -> bool:
    """Lock a file; return whether that was possible, and it is still at ``path``: whoever had it may have put it in its place."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(opened).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
