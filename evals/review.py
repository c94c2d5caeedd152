"""What a change owes to CI: which results to compute anew, and whether its champion may stand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from evals.champion import current_release, read_champion
from evals.data import Split
from evals.errors import EvalError
from evals.gate import SIGNIFICANT, Verdict, compare_pair
from evals.repository import changed_paths, paths_at, text_at
from evals.scored import Scored, read_outcomes
from evals.verdict import champion_verdict
from evals.workspace import Workspace

CHAMPION_OUTCOMES = "reports/champion/outcomes.jsonl"


def edited_prompts(root: Path, commit: str) -> list[str]:
    """Return what is wrong with the prompts since a commit: a version that was committed stays as it is, for results rest on it."""
    changed = changed_paths(root, commit)
    was = {"M": "was edited", "D": "is gone", "T": "is another kind of file"}
    put_back = f"git restore --source={commit[:12]} --staged --worktree"
    return [
        f"{path} {was[changed[path]]}: prompts are append-only. Put it back (`{put_back} {path}`) "
        f"and write your change as the next version, {_next_version(root)}"
        for path in paths_at(root, commit, "prompts")
        if path.endswith(".yaml") and path in changed
    ]


def changed_prompts(workspace: Workspace, commit: str) -> list[str]:
    """Return the prompts in params.yaml that were added or changed since a commit, or that were not named there then."""
    before = yaml.safe_load(text_at(workspace.root, commit, "params.yaml") or "{}").get("prompts", [])
    changed = changed_paths(workspace.root, commit)
    return [name for name in workspace.params().prompts if f"prompts/{name}.yaml" in changed or name not in before]


def changed_candidates(workspace: Workspace, commit: str) -> list[str]:
    """Return the candidates of :func:`changed_prompts`, alone and fused."""
    prompts = set(changed_prompts(workspace, commit))
    return [name for name in workspace.candidates() if workspace.candidate(name).prompt in prompts]


def cold_stages(workspace: Workspace, commit: str) -> list[str]:
    """Return the DVC stages that CI computes anew instead of believing what was committed.

    Those are the answers of every changed prompt, and the champion's where anything that it is made of was changed.
    """
    changed = changed_paths(workspace.root, commit)
    models = workspace.params().models
    stages = [f"run@{prompt}-{model}" for prompt in changed_prompts(workspace, commit) for model in models]
    pipeline = yaml.safe_load((workspace.root / "dvc.yaml").read_text(encoding="utf-8"))
    for stage in ("champion", "score-champion"):
        named = [*pipeline["stages"][stage]["deps"], *pipeline["stages"][stage]["params"]]
        made_of = [one if isinstance(one, str) else next(iter(one)) for one in named]  # a file of parameters is a mapping to their names
        if any(path == one or path.startswith(f"{one}/") for path in changed for one in made_of):
            stages.append(stage)
    return stages


def review_champion(workspace: Workspace, commit: str) -> tuple[Verdict, list[str]]:
    """Return whether the champion may stand, and why not.

    FAIL where it fails the gate's own terms on the present data, where its evidence is no PASS, or where it catches fewer safety
    messages than the champion of the commit did; INCONCLUSIVE where that cannot be excluded. A first champion has nobody before it.
    """
    verdict = champion_verdict(workspace)
    if verdict is None:
        return Verdict.PASS, ["there is no champion, so there is nothing to lose"]
    found = [(Verdict(verdict["verdict"]), reason) for reason in verdict["reasons"]]
    found += [(Verdict.FAIL, reason) for reason in _evidence_doubts(workspace)]
    found += _against(workspace, commit)
    worst = max((one for one, _ in found), key=[Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL].index, default=Verdict.PASS)
    return worst, [reason for _, reason in found]


def _evidence_doubts(workspace: Workspace) -> list[str]:
    release = current_release(workspace)
    evidence = {} if release is None else release.evidence()
    weak = [name for name in ("verdict", "certificate") if evidence.get(name, {}).get("verdict") != Verdict.PASS]
    return [f"the release was frozen without PASS as its {name}: only `python -m evals promote` may change the champion" for name in weak]


def _against(workspace: Workspace, commit: str) -> list[tuple[Verdict, str]]:
    """Judge the champion against that of the commit, on the messages that both were asked and whose label is the same."""
    try:
        before = _outcomes_at(workspace, commit)
    except EvalError:
        return [(Verdict.PASS, "the champion's outcomes before have another form: only the gate's own terms were held to it")]
    _, outcomes = read_champion(workspace)
    if not before or outcomes is None:
        return []
    label = {row.id: row.label for row in before}
    shared = [row for row in outcomes if row.split == Split.GATE and label.get(row.id) == row.label]
    paired = compare_pair(shared, before)["safety_capture"]
    counts = f"{len(paired['lost'])} lost, {len(paired['gained'])} gained of {paired['n']} that both were asked"
    lost = f"lost: {', '.join(paired['lost'])}"
    if paired["p_worse"] < SIGNIFICANT:
        return [(Verdict.FAIL, f"safety capture is worse than the champion's before: {counts}, p = {paired['p_worse']:.4f}; {lost}")]
    if shared and paired["difference_low"] <= -workspace.params().gate.delta:
        low = f"{paired['difference_low']:+.3f}"
        return [(Verdict.INCONCLUSIVE, f"safety capture may be up to {low} below the champion's before: {counts}; {lost}")]
    return []


def _outcomes_at(workspace: Workspace, commit: str) -> list[Scored]:
    """Return the champion's outcomes of a commit, none where there was no champion."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.jsonl"
        path.write_text(text_at(workspace.root, commit, CHAMPION_OUTCOMES) or "", encoding="utf-8")
        return read_outcomes(path)


def _next_version(root: Path) -> str:
    numbers = [int(path.stem.removeprefix("classify-")) for path in (root / "prompts").glob("classify-[0-9]*.yaml")]
    return f"prompts/classify-{max(numbers, default=0) + 1:03d}.yaml"
