"""Where things are: the project's folders, its parameters, and files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.errors import EvalError
from orchestrator.local_classifier import CANDIDATE as LOCAL

FUSED = "fused-"  # a fusion's id is that of the prompt and model it rests on, with this before it


class GateParams(BaseModel):
    """The gate's tolerances; all are proportions."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    delta: float = Field(gt=0, lt=1)
    floor: float = Field(gt=0, lt=1)
    max_failure_share: float = Field(ge=0, le=1)


class SafetyParams(BaseModel):
    """The safety threshold: P(false negative rate > alpha) <= delta."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    alpha: float = Field(gt=0, lt=1)
    delta: float = Field(gt=0, lt=1)
    local_threshold: float = Field(gt=0, lt=1)


class Params(BaseModel):
    """``params.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    concurrency: int = Field(ge=1)
    sample: int | None = Field(default=None, ge=12)
    seed: int
    prior: dict[str, float]
    safety: SafetyParams
    gate: GateParams


@dataclass(frozen=True)
class Workspace:
    """The folders of a project rooted at ``root``."""

    root: Path

    @property
    def datasets(self) -> Path:
        """The labelled messages."""
        return self.root / "datasets"

    @property
    def prompts(self) -> Path:
        """The prompt versions."""
        return self.root / "prompts"

    @property
    def reports(self) -> Path:
        """What the pipeline writes."""
        return self.root / "reports"

    @property
    def champion(self) -> Path:
        """The promoted release."""
        return self.root / "orchestrator" / "champion"

    @property
    def reply_cache(self) -> Path:
        """Replies already paid for."""
        return self.root / ".cache" / "replies.sqlite"

    @property
    def classifier(self) -> Path:
        """The local classifier the pipeline trained."""
        return self.reports / LOCAL / "classifier.json"

    @property
    def verdicts(self) -> Path:
        """The verdicts that were given, one per key."""
        return self.reports / "verdicts.jsonl"

    @property
    def sealed_uses(self) -> Path:
        """The ledger of the sealed split: every look at it, and what it found."""
        return self.reports / "sealed.jsonl"

    def report(self, candidate: str, name: str) -> Path:
        """Return the path of one of a candidate's files."""
        return self.reports / candidate / name

    def params(self) -> Params:
        """Read ``params.yaml``; raise ``EvalError`` naming what is wrong in it."""
        path = self.root / "params.yaml"
        try:
            return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError:
            raise EvalError(f"{path} is missing: run this in the project's folder, or give --root") from None
        except (yaml.YAMLError, ValidationError) as error:
            raise EvalError(f"{path}: {error}") from None

    def candidates(self) -> list[str]:
        """Return the ids of all candidates in the parameters: prompts, their fusions, the local baseline last."""
        return list(self._candidates())

    def candidate(self, name: str) -> Candidate:
        """Return the candidate of an id; raise ``EvalError`` with the known ids for another."""
        known = self._candidates()
        if name not in known:
            raise EvalError(f"unknown candidate {name!r}; known: {', '.join(known)} (params.yaml)")
        return known[name]

    def _candidates(self) -> dict[str, Candidate]:
        params = self.params()
        alone = [Candidate(prompt, model) for prompt in params.prompts for model in params.models]
        fused = [Candidate(one.prompt, one.model, fused=True) for one in alone]
        return {one.id: one for one in (*alone, *fused, Candidate())}


@dataclass(frozen=True)
class Candidate:
    """What is compared: a prompt on a model, that fused with the local classifier, or (without both) the local classifier alone."""

    prompt: str | None = None
    model: str | None = None
    fused: bool = False

    @property
    def id(self) -> str:
        """The candidate's id: report folder, DVC key, MLflow run name and API field alike."""
        return f"{FUSED}{self.answered_by}" if self.fused else self.answered_by

    @property
    def answered_by(self) -> str:
        """The id of the candidate whose answers are judged: a fusion judges those of its prompt."""
        return LOCAL if self.prompt is None else f"{self.prompt}_{self.model}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` to write to; it takes the place of ``path`` when the block ends well, else it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file whole or not at all: into a temporary file beside it, then renamed."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(line + "\n" for line in lines)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and machines, whole or not at all."""
    import json

    write_lines(path, [json.dumps(value, indent=2, ensure_ascii=False)])


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON; raise ``EvalError`` with the remedy when it is missing or broken."""
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise EvalError(f"{path} is missing: {remedy}") from None
    except ValueError as error:
        raise EvalError(f"{path} is not JSON ({error}): {remedy}") from None
