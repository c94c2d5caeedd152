"""Notices that the files of a folder have changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.knowledge_base.articles import Article, article_paths, load_articles

log = logging.getLogger(__name__)


class Watched:
    """A folder of articles, read again when a file is changed, added or removed."""

    def __init__(self, folder: Path, check_every_s: float) -> None:
        """Watch ``folder``, looking at most every ``check_every_s`` seconds."""
        self._folder = folder
        self._every_s = check_every_s
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._seen: frozenset[tuple[str, int, int]] = frozenset()
        self.problem: str | None = None

    def read(self) -> list[Article]:
        """Read the articles now; raise ``ValueError`` with file:line when one is not valid or there are none."""
        self._seen = self._state()  # before reading: what is written meanwhile is noticed the next time
        articles = load_articles(self._folder)
        if not articles:
            raise ValueError(f"{self._folder}: no articles (*.md) here")
        return articles

    def refresh(self, use: Callable[[list[Article]], None], *, at_once: bool = False) -> None:
        """Call ``use`` with the articles if they have changed since the last look and are all valid.

        It looks when the last look is long enough ago, or ``at_once``.

        One thread looks at a time, until ``use`` is done, so that older articles never take the place of newer ones; the
        others go on with what they have.
        """
        due = at_once or time.monotonic() - self._looked_at >= self._every_s
        if not due or not self._lock.acquire(blocking=False):
            return
        try:
            if self._state() == self._seen:
                return
            articles = self.read()
            use(articles)
        except (OSError, ValueError) as error:
            self.problem = str(error)
            log.error("the articles in use are kept, because the changed ones cannot be read: %s", error)  # noqa: TRY400  # an editor's slip needs no traceback
        else:
            self.problem = None
            log.info("read %d articles again", len(articles))
        finally:
            self._looked_at = time.monotonic()
            self._lock.release()

    def _state(self) -> frozenset[tuple[str, int, int]]:
        """Return name, time of change in nanoseconds and size of every article."""
        stats = [(path.name, path.stat()) for path in article_paths(self._folder)]
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
