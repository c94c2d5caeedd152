"""Which release serves, which one is tried beside it, and how that may change: ``Plan -> Plan``. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from orchestrator.errors import ConflictError
from orchestrator.schema import Record, Share


class Mode(StrEnum):
    """How a challenger is tried. Shadow: its answer is compared and not used. Canary: it is used for a share of the clients."""

    SHADOW = "shadow"
    CANARY = "canary"


class Challenge(Record):
    """A release that is tried beside the active one, on a share of its traffic."""

    release: str
    mode: Mode = Mode.SHADOW
    share: Share


class Plan(Record):
    """What all processes follow. Releases in ``stopped`` were tried and stopped: no process begins them again by its own settings."""

    active: str
    previous: str | None = None
    challenge: Challenge | None = None
    stopped: tuple[str, ...] = ()

    def switched(self, release: str) -> Plan:
        """Let another release serve; where it is the challenger, it is no longer one. Raises ``ConflictError`` when it serves already."""
        if release == self.active:
            raise ConflictError(f"release {release} serves already")
        challenge = None if self.challenge and self.challenge.release == release else self.challenge
        return self.model_copy(update={"active": release, "previous": self.active, "challenge": challenge})

    def rolled_back(self, expected: str | None, tried: str | None) -> Plan:
        """Let the release before serve again, alone: the challenger and the one ``tried`` are stopped. A second time undoes the first.

        Raises ``ConflictError`` when there is none, or it is not the one ``expected``: somebody else was first.
        """
        if self.previous is None:
            raise ConflictError("no other release served before: there is nothing to go back to")
        if self.previous != expected:
            raise ConflictError(f"the release before is now {self.previous}: somebody else has just switched; look again")
        alone = self.without(tried).without(self.challenge.release if self.challenge else None)
        return alone.model_copy(update={"active": self.previous, "previous": self.active})

    def challenged(self, challenge: Challenge) -> Plan:
        """Try a release in place of the one tried so far. Raises ``ConflictError`` when it is the active one."""
        if challenge.release == self.active:
            raise ConflictError(f"release {challenge.release} is the active one: a challenger is another")
        stopped = tuple(one for one in self.stopped if one != challenge.release)
        return self.model_copy(update={"challenge": challenge, "stopped": stopped})

    def without(self, release: str | None) -> Plan:
        """Try this release no longer."""
        if release is None:
            return self
        challenge = None if self.challenge and self.challenge.release == release else self.challenge
        stopped = self.stopped if release in self.stopped else (*self.stopped, release)
        return self.model_copy(update={"challenge": challenge, "stopped": stopped})

    def tried(self, configured: Challenge | None) -> Challenge | None:
        """Return the challenge of a process with such settings: what was decided for all comes first."""
        if self.challenge or configured is None or configured.release in {self.active, *self.stopped}:
            return self.challenge
        return configured


def in_share(share: float, *, release: str, key: str) -> bool:
    """Say whether a key (a client, a request) is among those a release is tried on: by its hash, so always the same.

    The release is in the hash, or every release would be tried on the same clients. A larger share keeps those of a smaller one.
    """
    digest = hashlib.sha256(f"{release}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64 < share
