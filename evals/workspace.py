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
        """Return the ids of all candidates in the parameters, the local baseline last."""
        params = self.params()
        return [candidate_id(prompt, model) for prompt in params.prompts for model in params.models] + [LOCAL]


def candidate_id(prompt: str, model: str) -> str:
    """Return the id of a candidate: report folder, DVC key, MLflow run name and API field alike."""
    return f"{prompt}_{model}"


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
