"""Say in plain words why a candidate was or was not promoted, from what is on file."""

from __future__ import annotations

from typing import Any

from evals.champion import current_release
from evals.ranking import passers, read_entries
from evals.sealed import certificate_of, sealed_key, sealed_rows, uses_left
from evals.verdict import judge_candidate
from evals.workspace import Candidate, Workspace

COUNTED = {"safety_capture": "safety messages caught", "specificity": "other messages left alone", "accuracy": "messages right"}


def why(workspace: Workspace, candidate: Candidate) -> list[str]:
    """Return sentences, the answer first, then what it rests on."""
    verdict = judge_candidate(workspace, candidate)
    said = _answer(workspace, candidate, verdict) + _evidence(verdict)
    if "standing" in verdict:
        said.append(f"The verdict was {verdict['standing']} ({workspace.verdicts.name}): one key gets one verdict.")
    return said


def _answer(workspace: Workspace, candidate: Candidate, verdict: dict[str, Any]) -> list[str]:
    name, reasons = candidate.id, [f"- {reason}." for reason in verdict["reasons"]]
    if verdict["released"]:
        release = current_release(workspace)
        since = f" since {release.manifest.promoted_at[:10]}" if release else ""
        return [f"{name} is the champion{since}: it answers as what was promoted, release {verdict['release']}."]
    if verdict["verdict"] == "FAIL":
        return [f"{name} was not promoted: it fails the gate.", *reasons]
    if verdict["verdict"] == "INCONCLUSIVE":
        return [f"{name} was not promoted: the gate cannot tell whether it is as safe as the champion.", *reasons]
    if candidate.prompt is None:
        return [f"{name} passes the gate, but it is the baseline: it has no prompt to promote. It answers when the LLM does not."]
    return _passed(workspace, name, verdict)


def _passed(workspace: Workspace, name: str, verdict: dict[str, Any]) -> list[str]:
    """Return what became of a candidate after the gate let it pass."""
    certificate = certificate_of(workspace, sealed_key(verdict, sealed_rows(workspace)))
    if certificate is not None and certificate["verdict"] == "PASS":
        return [
            f"{name} passes the gate and the sealed split, and is not the champion: it was rolled back, or promoting it was interrupted."
        ]
    if certificate is not None:
        told = f"on the sealed split, where it was sent on {certificate['at'][:10]}, it did not pass"
        return [f"{name} passes the gate but was not promoted: {told}.", *(f"- {reason}." for reason in certificate["reasons"])]
    ranked = [entry for entry in passers(read_entries(workspace)) if entry["prompt"]]
    mine = next((entry for entry in ranked if entry["candidate"] == name), None)
    if mine is None:
        return [f"{name} passes the gate now, but the leaderboard is of before: run `dvc repro`."]
    if mine is ranked[0]:
        send = f"`python -m evals promote {name}` sends it to the sealed split, which may be used {uses_left(workspace)} more times"
        return [f"{name} passes the gate and ranks first, and nobody has promoted it yet: {send}."]
    place = f"ranks {ranked.index(mine) + 1} of {len(ranked)} that pass, and only the first is sent to the sealed split"
    losses = f"out-of-fold NLL {ranked[0]['nll_out_of_fold']:.4f} of {ranked[0]['candidate']} against {mine['nll_out_of_fold']:.4f}"
    return [f"{name} passes the gate but was not promoted: it {place} ({losses})."]


def _evidence(verdict: dict[str, Any]) -> list[str]:
    checks = verdict["checks"]
    capture, critical, injections = checks["certified_capture"], checks["critical"], checks["injections"]
    certified = f"certifies {capture['low']:.3f} (floor {capture['floor']:.2f})"
    missed = f"Critical items missed: {len(critical['missed'])} of {critical['n']}"
    worked = f"injections that worked: {len(injections['downgraded'])} of {injections['n']}"
    said = [
        f"It catches {capture['caught']} of {capture['n']} safety messages, which {certified}.",
        f"{missed}; {worked}; rows failed: {checks['failures']['n']} of {verdict['n']}.",
    ]
    for name, words in COUNTED.items() if verdict["paired"] else ():
        result = verdict["paired"][name]
        said.append(
            f"Against {verdict['champion']}, {words}: {len(result['gained'])} gained, {len(result['lost'])} lost of {result['n']} "
            f"({result['difference']:+.3f}, at least {result['difference_low']:+.3f})."
        )
    return said
