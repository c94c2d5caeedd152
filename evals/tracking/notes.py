"""What a run says of itself at its head, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.release import Release

NOTE = "mlflow.note.content"  # the tag that the UI shows as the description


def candidate_note(entry: Mapping[str, Any]) -> str:
    """Return a candidate's verdict and the reasons for it."""
    reasons = [f"- {reason}" for reason in entry["reasons"]] or ["Every check of the gate holds."]
    missed = ", ".join(entry["critical_missed"])
    lines = [f"**{entry['verdict']}**" + (" (the released champion)" if entry["champion"] else ""), "", *reasons]
    return "\n".join([*lines, *(["", f"Critical messages missed: {missed}"] if missed else [])])


def evaluation_note(board: Mapping[str, Any], experiment: str, runs: Mapping[str, str]) -> str:
    """Return the leaderboard in short, each candidate linked to its run; ``runs`` are run ids by candidate."""
    lines = [
        f"{board['n']} messages of the {board['split']} split. `leaderboard.md` and `comparison.md` among the artifacts have all figures.",
        "",
        "| candidate | verdict | accuracy | safety recall | over-flag |",
        "|---|---|---|---|---|",
    ]
    for entry in board["candidates"]:
        figures = [entry[name]["value"] for name in ("accuracy_system", "safety_recall", "over_flag_rate")]
        name = f"[{entry['candidate']}](#/experiments/{experiment}/runs/{runs[entry['candidate']]})"
        cells = [name, entry["verdict"], *("-" if value is None else f"{value:.3f}" for value in figures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"- {remark}" for remark in board["remarks"])])


def release_note(release: Release, entry: Mapping[str, Any]) -> str:
    """Return what a registered model is, and how to use it."""
    manifest = release.manifest
    return "\n".join(
        [
            f"Release `{manifest.id}`: `{manifest.candidate}`, promoted at {manifest.promoted_at}. The gate says **{entry['verdict']}**.",
            "",
            (
                "A table with the columns `message` and, if you like, `channel` (chat, voice or mail) goes in; category, confidence, band, "
                "the three calibrated probabilities and what is to be done come out. `docs/mlflow.md` says how to serve it."
            ),
        ]
    )
