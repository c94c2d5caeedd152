"""The releases that are open in this process, each in a task of its own that opens and closes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager

from orchestrator.classify import Classifier
from orchestrator.release import Release
from orchestrator.rollout.serving import Serving
from orchestrator.rollout.shelf import Shelf

OpenRelease = Callable[[Release], AbstractAsyncContextManager[Classifier]]
_log = logging.getLogger(__name__)


class Opened:
    """Releases by their id. Each has an LLM of its own, so a challenger in trouble opens nobody else's breaker."""

    def __init__(self, shelf: Shelf, open_release: OpenRelease) -> None:
        """Find releases on ``shelf`` and open them with ``open_release``."""
        self._shelf, self._open_release = shelf, open_release
        self._open: dict[str, Serving] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, release: str) -> Serving:
        """Return a release, verified and opened where it is not open yet.

        Raises ``ReleaseError`` when it is unknown or was changed, ``CatalogueError`` when its model cannot be reached for want of a key.
        """
        if found := self._open.get(release):
            return found
        verified = await asyncio.to_thread(self._shelf.find, release)
        opened: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._keep(verified, opened))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        serving = self._open[release] = await opened
        return serving

    def retire_all_but(self, wanted: Collection[str]) -> None:
        """Close the others, each once nobody uses it any more."""
        for release in [release for release in self._open if release not in wanted]:
            self._open.pop(release).retire()

    async def close(self) -> None:
        """Close all, and wait until they are."""
        self.retire_all_but(())
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, release: Release, opened: asyncio.Future[Serving]) -> None:
        try:
            async with self._open_release(release) as classifier:
                if opened.cancelled():
                    return
                serving = Serving(release.manifest.id, classifier)
                opened.set_result(serving)
                await serving.over()
        except Exception as error:  # noqa: BLE001  # whoever waits for it is told; nobody waits for its end
            if not opened.done():
                opened.set_exception(error)
            else:
                _log.warning("release %s was not closed cleanly: %s", release.manifest.id, type(error).__name__)
