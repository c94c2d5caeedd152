"""Where releases are looked for, by their id: ``id -> Release``, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ReleaseError
from orchestrator.release import MANIFEST, Release, champion_folder, load_release
from orchestrator.schema import Record

RELEASES = "releases"  # the folder in the data directory whose folders are releases


class UnknownReleaseError(ReleaseError):
    """No folder holds a release of this id."""


class Title(Record):
    """What the manifest of a release says that it is; nothing of it is verified yet."""

    id: str
    candidate: str
    prompt: str
    model: str
    promoted_at: str


@dataclass(frozen=True)
class Shelf:
    """Folders that may hold a release each, and folders of such folders."""

    folders: tuple[Path, ...]
    shelves: tuple[Path, ...] = ()

    @classmethod
    def beside(cls, data_dir: Path, *more: Path) -> Shelf:
        """Return where an installation has its releases: the packaged champion, the one before it, ``more``, and ``DATA_DIR/releases``."""
        champion = champion_folder()
        return cls((champion, champion.with_name("champion_previous"), *more), (data_dir / RELEASES,))

    def find(self, release: str) -> Release:
        """Return a release with every hash verified.

        Raises ``UnknownReleaseError`` when there is none of this id, ``ReleaseError`` when what is there is not what was promoted.
        """
        refused: ReleaseError | None = None
        for folder, title in self._titles():
            if title.id == release:
                try:
                    return load_release(folder)
                except ReleaseError as error:
                    refused = error
        if refused:
            raise refused
        known = ", ".join(title.id for title in self.titles()) or "none"
        raise UnknownReleaseError(f"there is no release {release!r} here; known: {known}. Put its folder into DATA_DIR/{RELEASES}")

    def titles(self) -> list[Title]:
        """Return what is there, each id once."""
        return list({title.id: title for _, title in self._titles()}.values())

    def id_of(self, folder: Path) -> str | None:
        """Return the id that the release of a folder gives itself; None where there is none."""
        title = _title(folder)
        return title.id if title else None

    def _titles(self) -> Iterator[tuple[Path, Title]]:
        found = (folder for shelf in self.shelves if shelf.is_dir() for folder in sorted(shelf.iterdir()))
        for folder in (*self.folders, *found):
            if title := _title(folder):
                yield folder, title


def _title(folder: Path) -> Title | None:
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Title(**{name: str(fields[name]) for name in Title.model_fields})
    except (OSError, ValueError, KeyError, TypeError):
        return None
