"""The releases of one process: which answers a message, and how the process follows what was decided for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from types import TracebackType

from orchestrator.errors import ConflictError, OrchestratorError, StoreUnavailableError
from orchestrator.release import champion_folder
from orchestrator.rollout.guard import Limits
from orchestrator.rollout.opened import Opened, OpenRelease
from orchestrator.rollout.plan import Challenge, Plan
from orchestrator.rollout.serving import Serving
from orchestrator.rollout.shadow import OnCompared, Shadow
from orchestrator.rollout.shelf import Shelf
from orchestrator.rollout.trial import Trial
from orchestrator.schema import Message, Outcome
from orchestrator.store.comparisons import Agreement, Pair
from orchestrator.store.ledger import Ledger
from orchestrator.store.rollouts import Change

GUARD = "the guard of the canary"
_log = logging.getLogger(__name__)


class Releases:
    """An async context manager: it opens what serves, follows the plan in the database every ``every_s`` seconds, and closes all.

    ``champion`` is the id of the packaged release. ``problem`` says why this process does not serve or try what was decided,
    ``shadow`` counts the comparisons.
    """

    def __init__(
        self,
        champion: str,
        shelf: Shelf,
        open_release: OpenRelease,
        ledger: Ledger,
        *,
        configured: Challenge | None = None,
        every_s: float = 3.0,
        concurrency: int = 4,
        deadline_s: float = 30.0,
        on_compared: OnCompared | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Serve ``champion`` until something else is decided, and try what is ``configured`` until that is stopped.

        At most ``concurrency`` comparisons run at once, each for ``deadline_s`` seconds.
        """
        self.champion, self.shelf, self.ledger, self.configured = champion, shelf, ledger, configured
        self.problem: str | None = None
        self.shadow = Shadow(ledger.clock, concurrency=concurrency, deadline_s=deadline_s, on_compared=on_compared)
        self._opened = Opened(shelf, open_release)
        self._every_s, self._limits = every_s, limits
        self._plan: Plan | None = None
        self._active: Serving | None = None
        self._trial: Trial | None = None
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    # --- for each message

    @property
    def active(self) -> Serving:
        """What serves here. It is what was decided unless ``problem`` says otherwise."""
        assert self._active is not None, "releases are opened with `async with`"  # noqa: S101  # nosec B101  # a bug of ours
        return self._active

    @property
    def trial(self) -> Trial | None:
        """What is tried here; None also where the challenger could not be opened."""
        return self._trial

    @property
    def plan(self) -> Plan:
        """What was decided, as far as this process knows."""
        return self._plan or self._start

    @property
    def challenge(self) -> Challenge | None:
        """What is to be tried: what was decided for all processes, else what this one's settings say."""
        return self.plan.tried(self.configured)

    def pick(self, client: str) -> Serving:
        """Return what answers a client: always the same release for the same client, as long as nothing is switched."""
        return self._trial.challenger if self._trial and self._trial.answers(client) else self.active

    def after(self, message: Message, outcome: Outcome) -> None:
        """Begin what follows an answer that is recorded: a comparison, in the background. It never raises and waits for nothing."""
        try:
            if self._trial:
                self._trial.after(message, outcome, self.active)
        except Exception as error:  # noqa: BLE001  # the answer stands, whatever happens here
            _log.warning("nothing was compared: %s", type(error).__name__)

    # --- for all processes

    async def switch(self, release: str, by: str) -> Plan:
        """Let another release serve, here at once and in every other process within ``every_s`` seconds.

        Raises ``ReleaseError`` when it does not verify, ``ConflictError`` when it serves already, ``StoreUnavailableError``.
        """
        return await self._change(lambda plan: plan.switched(release), Change(action="switch", by=by), needed=release)

    async def rollback(self, by: str) -> Plan:
        """Let the release before serve again, without a challenger. Raises ``ConflictError`` when there is none."""
        await self.refresh()
        previous, tried = self.plan.previous, self.challenge.release if self.challenge else None
        return await self._change(lambda plan: plan.rolled_back(previous, tried), Change(action="rollback", by=by), needed=previous)

    async def try_out(self, challenge: Challenge, by: str) -> Plan:
        """Try a release beside the active one, in place of what was tried so far."""
        return await self._change(lambda plan: plan.challenged(challenge), Change(action="challenge", by=by), needed=challenge.release)

    async def stop_trying(self, by: str, reason: str = "") -> Plan:
        """Try no release any more. Raises ``ConflictError`` when none is tried."""
        await self.refresh()
        if self.challenge is None:
            raise ConflictError("no release is tried: there is nothing to stop")
        tried = self.challenge.release
        return await self._change(lambda plan: plan.without(tried), Change(action="stop", by=by, reason=reason))

    async def agreement(self) -> Agreement | None:
        """Return how often the challenger has agreed with the active release so far; None without a challenger."""
        if self.challenge is None:
            return None
        return await asyncio.to_thread(self.ledger.agreement, Pair(self.active.release, self.challenge.release))

    async def refresh(self) -> None:
        """Follow what was decided in any process. Raises ``StoreUnavailableError``; then all stays as it is."""
        async with self._changing:
            if self._trial and self._trial.stopped:
                tried, why = self._trial.challenge.release, self._trial.stopped
                await self._write(lambda plan: plan.without(tried), Change(action="stop", by=GUARD, reason=why))
            await self._follow(await asyncio.to_thread(self.ledger.plan, self.champion))

    async def flush(self) -> None:
        """Write the comparisons found so far. Raises ``StoreUnavailableError``; then they are kept for the next time."""
        await self.shadow.flush(self.ledger.compare)

    async def _change(self, step: Callable[[Plan], Plan], change: Change, *, needed: str | None = None) -> Plan:
        """Open what is needed first: what cannot serve here is decided for nobody."""
        async with self._changing:
            try:
                if needed is not None:
                    await self._opened.get(needed)
                plan = await self._write(step, change)
                await self._follow(plan)
            finally:
                self._retire()
        return plan

    async def _write(self, step: Callable[[Plan], Plan], change: Change) -> Plan:
        return await asyncio.to_thread(self.ledger.change_plan, self._start, self.champion, step, change)

    async def _follow(self, decided: Plan | None) -> None:
        plan = decided or self._start
        if plan == self._plan and self.problem is None:
            return
        problems: list[str] = []
        active = await self._open(plan.active, problems) or self._active or await self._opened.get(self.champion)
        challenge = plan.tried(self.configured)
        trial = await self._trial_of(challenge, problems) if challenge and challenge.release != active.release else None
        self._plan, self._active, self._trial = plan, active, trial
        if problems and self.problem is None:
            _log.error("%s", "; ".join(problems))
        self.problem = "; ".join(problems) or None
        self._retire()

    async def _trial_of(self, challenge: Challenge, problems: list[str]) -> Trial | None:
        """Return the trial that runs where it is the same challenge: what its guard has counted goes on counting."""
        if self._trial and self._trial.challenge == challenge:
            return self._trial
        challenger = await self._open(challenge.release, problems)
        return Trial(challenge, challenger, self.shadow, self._limits, self._wake.set) if challenger else None

    async def _open(self, release: str, problems: list[str]) -> Serving | None:
        try:
            return await self._opened.get(release)
        except Exception as error:  # noqa: BLE001  # whatever it is, what serves now goes on serving
            said = str(error) if isinstance(error, OrchestratorError) else type(error).__name__  # others' texts may tell anything
            problems.append(f"release {release} cannot be opened here: {said}")
            return None

    def _retire(self) -> None:
        """Close what neither serves nor is tried."""
        used = {self._active.release} if self._active else set()
        self._opened.retire_all_but(used | ({self._trial.challenger.release} if self._trial else set()))

    @cached_property
    def _start(self) -> Plan:
        """The plan while nobody has changed anything: the packaged champion, and the one packaged before it to go back to."""
        previous = self.shelf.id_of(champion_folder().with_name("champion_previous"))
        return Plan(active=self.champion, previous=None if previous == self.champion else previous)

    # --- its life

    async def __aenter__(self) -> Releases:
        """Open what serves. Raises ``ReleaseError`` or ``CatalogueError`` when not even the packaged champion can."""
        try:
            await self.refresh()
        except BaseException:
            await self._opened.close()
            raise
        self._following = asyncio.create_task(self._go_on_following())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give up the comparisons under way, write those that are done, and close what nobody uses any more."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.shadow.close()
        with suppress(StoreUnavailableError):
            await self.flush()
        await self._opened.close()

    async def _go_on_following(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every_s)
            self._wake.clear()
            for step in (self.refresh, self.flush):
                try:
                    await step()
                except StoreUnavailableError:
                    pass  # readiness tells of it; what serves goes on serving
                except Exception as unknown:  # noqa: BLE001  # a bug here must not end the following
                    _log.warning("what was decided about releases could not be read or kept: %s", type(unknown).__name__)
