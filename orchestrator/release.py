"""The champion bundle: everything that was evaluated, frozen, with the hashes that prove it.

A release is a folder: ``release.json`` (what it is and the SHA-256 of every other file), ``prompt.yaml``,
``examples.jsonl``, ``local.json`` and ``evidence.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.classify import Tuning
from orchestrator.errors import ReleaseError
from orchestrator.local_classifier import LocalClassifier
from orchestrator.prompts import Example, Prompt, load_prompt
from orchestrator.schema import Record

MANIFEST = "release.json"
FILES = ("examples.jsonl", "local.json", "evidence.json")
REMEDY = "restore it with `git checkout -- orchestrator/champion`, or promote again: `python -m evals promote <candidate>`"


class Manifest(Record):
    """What a release is. ``id`` is the hash of everything else in here, so nothing can be changed unseen."""

    id: str
    candidate: str
    prompt: str
    model: str
    model_digest: str
    promoted_at: str
    tuning: Tuning
    data: dict[str, str]
    code: str  # SHA-256 of the code that turned answers into outcomes
    files: dict[str, str]


class Release(Record):
    """A verified release."""

    manifest: Manifest
    prompt: Prompt
    examples: tuple[Example, ...]
    folder: Path

    def local_classifier(self) -> LocalClassifier:
        """Return the local classifier of the release."""
        return LocalClassifier.load(self.folder / "local.json")

    def evidence(self) -> dict[str, Any]:
        """Return the metrics the promotion rested on."""
        return dict(json.loads((self.folder / "evidence.json").read_text(encoding="utf-8")))


def champion_folder() -> Path:
    """Return the folder of the packaged champion."""
    return Path(str(resources.files("orchestrator") / "champion"))


def manifest_id(fields: Mapping[str, Any]) -> str:
    """Return the id of a manifest: the SHA-256 of its other fields, in canonical JSON, first 12 digits."""
    rest = {name: value for name, value in fields.items() if name != "id"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]


def load_release(folder: Path | None = None) -> Release:
    """Load a release, by default the champion, and verify every hash.

    Raises ``ReleaseError`` naming the file and both hashes when something is missing or was changed.
    """
    folder = folder or champion_folder()
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(fields)
    except OSError:
        raise ReleaseError(f"there is no champion: {folder / MANIFEST} is missing; {REMEDY}") from None
    except (ValueError, ValidationError) as error:
        raise ReleaseError(f"{folder / MANIFEST} is not a release ({error}); {REMEDY}") from None
    if manifest_id(fields) != manifest.id:
        raise ReleaseError(f"{folder / MANIFEST} was changed: its hash is {manifest_id(fields)}, its id {manifest.id}; {REMEDY}")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ReleaseError(f"{path} is missing (expected SHA-256 {expected}); {REMEDY}")
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if actual != expected:
            raise ReleaseError(f"{path} was changed: SHA-256 {actual}, expected {expected}; {REMEDY}")
    lines = (folder / "examples.jsonl").read_text(encoding="utf-8").split("\n")
    return Release(
        manifest=manifest,
        prompt=load_prompt(folder / f"{manifest.prompt}.yaml"),
        examples=tuple(Example.model_validate_json(line) for line in lines if line),
        folder=folder,
    )
