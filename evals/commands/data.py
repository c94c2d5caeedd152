"""The verbs that look after the messages: check, describe, import, export, audit, and say what they suffice for."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from evals.data import Split, load_split, load_splits, split_digest
from evals.errors import EvalError
from evals.workspace import Workspace, write_json
from orchestrator.prompts import load_prompt


def do_validate(workspace: Workspace, _: argparse.Namespace) -> int:
    """Check the dataset, the prompts' examples and the promoted prompts."""
    from evals.promote import check_promoted
    from evals.validation import validate

    splits = validate(workspace.datasets, workspace.params().seed)
    check_promoted(workspace)
    for name in workspace.params().prompts:
        prompt = load_prompt(workspace.prompts / f"{name}.yaml")
        known = {row.id for row in splits[Split.DEV]}
        if unknown := [shot.id for shot in prompt.shots if shot.id not in known]:
            raise EvalError(f"prompts/{name}.yaml: shots {', '.join(unknown)} are not dev rows; examples come from dev alone")
    summary = {
        split.value: {
            "rows": len(rows),
            "sha256": split_digest(rows),
            "labels": dict(sorted(Counter(row.label.value for row in rows).items())),
            "channels": dict(sorted(Counter(row.channel.value for row in rows).items())),
            "kinds": dict(sorted(Counter(row.kind for row in rows).items())),
        }
        for split, rows in splits.items()
    }
    write_json(workspace.reports / "data.json", summary)
    print(f"{sum(len(rows) for rows in splits.values())} rows hold: " + ", ".join(f"{s.value} {len(r)}" for s, r in splits.items()))
    return 0


def do_flags(workspace: Workspace, _: argparse.Namespace) -> int:
    """Print what every red-flag rule does on dev."""
    from evals.flags import measure_rules

    print(json.dumps(measure_rules(load_split(workspace.datasets, Split.DEV)), indent=2))
    return 0


def do_card(workspace: Workspace, _: argparse.Namespace) -> int:
    """Write the data card, and the coverage grid into the guide beside the messages."""
    from evals.card import write_card

    facts = write_card(workspace)
    print(f"data card of {facts['rows']} rows written to reports/data_card.md; the grid in datasets/README.md is up to date")
    return 0


def do_import(workspace: Workspace, options: argparse.Namespace) -> int:
    """Add a user's own rows to a split, or with --dry-run only say what that would do."""
    from evals.transfer import Columns, parse_map, prepare_import, write_import

    columns = Columns(options.text, options.label, options.channel, parse_map(options.map))
    prepared = prepare_import(
        workspace.datasets,
        Path(options.file),
        Split(options.split),
        columns,
        delimiter=options.delimiter.replace("\\t", "\t"),
        redacting=not options.no_redact,
        skip_duplicates=options.skip_duplicates,
    )
    print("\n".join(prepared.summary()))
    if options.dry_run:
        print("dry run: nothing was written")
        return 0
    write_import(workspace.datasets, prepared)
    print(f"added to datasets/{options.split}.jsonl; now run `python -m evals validate`, then `dvc repro`")
    return 0


def do_export(workspace: Workspace, options: argparse.Namespace) -> int:
    """Write rows to a file that a spreadsheet or another tool reads."""
    from evals.transfer import export

    splits = [Split(name) for name in options.split] or list(Split)
    print(f"{export(workspace.datasets, splits, Path(options.file))} rows of {', '.join(splits)} written to {options.file}")
    return 0


def do_suspects(workspace: Workspace, options: argparse.Namespace) -> int:
    """Print the rows whose label a classifier that has not seen them doubts: those of cleanlab's cut, or the most doubtful N."""
    from evals.judgements import audited, load_judgements
    from evals.suspects import suspects

    rows = load_splits(workspace.datasets, Split)
    ranked = suspects(rows, workspace.params().seed)
    looked_at = audited(load_judgements(workspace.datasets), rows)
    for row, quality, guess, doubted in ranked[: options.most] if options.most else [one for one in ranked if one.doubted]:
        marks = ", ".join(["doubted"] * doubted + ["audited"] * (row.id in looked_at)) or "not doubted"
        print(f"{row.id} {row.split.value}: {row.label.value}, rather {guess.value}? (label quality {quality:.3f}; {marks})")
        print(f"    {row.message[:160]!r}")
    return 0


def do_power(workspace: Workspace, options: argparse.Namespace) -> int:
    """Print what the gate can and cannot tell apart at the present sizes."""
    from evals.observed import print_power

    print_power(workspace, misses=options.misses, disagreement=options.disagreement, other_disagreement=options.other_disagreement)
    return 0
