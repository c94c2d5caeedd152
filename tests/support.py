"""What several tests share: scored rows made to measure, processes, and services that must be there."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evals.__main__ import main
from evals.data import Split
from evals.scored import Scored
from evals.workspace import Workspace
from orchestrator.schema import (
    Band,
    Category,
    Channel,
    Classification,
    Decision,
    Failure,
    FailureKind,
    Probabilities,
    Source,
    Usage,
)

ROOT = Path(__file__).resolve().parent.parent


def require_service(name: str, host: str, port: int) -> None:
    """Skip without the service, or fail where REQUIRE_SERVICES=1 says that it must be there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        reason = f"{name} does not listen on {host}:{port}"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def make_scored(
    number: int,
    label: Category,
    *,
    routed: bool,
    category: Category | None = None,
    split: Split = Split.GATE,
    failed: bool = False,
    confidence: float = 0.8,
) -> Scored:
    category = category or (Category.SAFETY_COMPLIANCE if routed else Category.INFORMATIONAL)
    rest = (1 - confidence) / 2
    shares = {c.value: confidence if c == category else rest for c in Category}
    return Scored(
        id=f"m{number:04d}",
        seed_id=f"s{number:04d}",
        split=split,
        label=label,
        channel=Channel.CHAT,
        kind="clear",
        slices=("topic:x",),
        cost_usd=0.0,
        classification=Classification(
            decision=Decision(
                category=category,
                confidence=confidence,
                band=Band.MODERATE,
                review_required=False,
                routed_as_safety=routed,
                path="scripted",
            ),
            probabilities=Probabilities(**shares),
            raw_probabilities=None if failed else Probabilities(**shares),
            source=Source.LOGPROB,
            calibrated=True,
            degraded=failed,
            red_flags=(),
            local_safety=0.1,
            failure=Failure(kind=FailureKind.TIMEOUT, detail="scripted") if failed else None,
            usage=Usage(latency_s=0.1),
        ),
    )


def outcomes(*, caught: int, safety: int, flagged: int = 0, rest: int = 100) -> list[Scored]:
    """Gate rows: the first ``caught`` of ``safety`` safety rows are caught, the first ``flagged`` of ``rest`` others flagged."""
    made = [make_scored(i, Category.SAFETY_COMPLIANCE, routed=i < caught) for i in range(safety)]
    made += [make_scored(1000 + i, Category.INFORMATIONAL, routed=i < flagged) for i in range(rest)]
    return made


def make_workspace(folder: Path) -> Workspace:
    """Make a project with the real dataset and two prompts, the second of which makes the scripted model forgetful."""
    folder.mkdir()
    shutil.copytree(ROOT / "datasets", folder / "datasets")
    shutil.copy(ROOT / "dvc.yaml", folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"prompts": ["classify-001", "classify-002"], "models": ["smollm2-135m"], "concurrency": 8, "sample": None}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "prompts").mkdir()
    for number, system in (("001", "Sort the message."), ("002", "Sort the message. FORGETFUL")):
        prompt = {
            "id": f"classify-{number}",
            "title": "A test prompt",
            "codes": {"informational": "A", "service_action": "B", "safety_compliance": "C"},
            "answer": ["category"],
            "max_tokens": 16,
            "system": system,
        }
        (folder / "prompts" / f"classify-{number}.yaml").write_text(yaml.safe_dump(prompt, sort_keys=False))
    return Workspace(folder)


def evals(workspace: Workspace, *arguments: str) -> int:
    """Run ``python -m evals`` in this process on a workspace and return its exit code."""
    return main(["--root", str(workspace.root), *arguments])


def refresh(workspace: Workspace) -> None:
    """Score, run the champion, gate and compare, as ``dvc repro`` would."""
    for candidate in workspace.candidates():
        assert evals(workspace, "score", candidate) == 0
    assert evals(workspace, "champion") == 0
    for candidate in workspace.candidates():
        assert evals(workspace, "gate", candidate, "--exit-zero") == 0
    assert evals(workspace, "compare") == 0


def run_module(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m …`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )
