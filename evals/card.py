"""The data card: what the dataset holds, where it comes from, how far it can be trusted: ``datasets -> reports/data_card.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from evals.coverage import CELLS, cell, coverage_grid
from evals.data import KINDS, Row, Split, load_split, split_digest
from evals.errors import EvalError
from evals.judgements import Judgement, agreement, audited, errata, load_judgements, rewritten
from evals.similarity import LIMITS, VIEWS, nearest_pair
from evals.style import Probe, probe
from evals.suspects import suspects
from evals.validation import DEALT, MAX_FORM_ACCURACY, MAX_FORM_AUC, written_rows
from evals.variants import EXPECTED, expand
from evals.workspace import Workspace, write_json, write_lines
from orchestrator.schema import Category, Channel

GRID_BEGIN, GRID_END = "<!-- grid -->", "<!-- /grid -->"
PROVENANCE = (
    "**Every message was written by a language model, for this project**, one by one, each for one imagined customer. No template was "
    "expanded, no real person's text is in here, and no real person labelled them. The voices are personas of language models, not "
    "independent authors. Licence: Apache-2.0, as the code."
)
LIMITATIONS = (
    "Written messages are tidier than traffic: real ones have more noise, more fragments, more context that only the account shows.",
    (
        "Writers and readers are language models and may share blind spots: agreement shows that the label guide is clear, not that a "
        "pharmacist would agree. A person's labels are still to come."
    ),
    (
        "About half of the rows are safety, and about half are hard on purpose: figures on them are not traffic figures. The prior in "
        "`params.yaml` reweights accuracy; recall needs none."
    ),
    "English of several kinds, and about 5 % Spanish or mixed; nothing else. A figure for Spanish alone rests on few rows.",
    "The six voices wrote for every split, so a split tells nothing of a voice that none of them has.",
)


def write_card(workspace: Workspace) -> dict[str, Any]:
    """Write ``reports/data_card.{json,md}`` and the coverage grid in ``datasets/README.md``; return the facts."""
    splits = {split: load_split(workspace.datasets, split) for split in Split}
    rows = [row for split in splits.values() for row in split]
    judgements = load_judgements(workspace.datasets)
    written = written_rows(splits)
    facts: dict[str, Any] = {
        "rows": len(rows),
        "counts": [_counted(split, inside) for split, inside in splits.items()],
        "suites": dict(sorted(Counter(_suite(row) for row in expand(splits[Split.ROBUSTNESS])).items())),
        "languages": dict(sorted(Counter(value for row in written for value in row.facet("lang")).items())),
        "rewritten": len(rewritten(judgements)),
        "agreement": agreement(judgements, rows),
        "doubts": _doubts(rows, judgements, workspace.params().seed),
        "errata": errata(judgements),
        "nearest": [_nearest(splits, view) for view in VIEWS],
        "form": _form(probe(written, workspace.params().seed)),
        "sha256": {split.value: split_digest(inside) for split, inside in splits.items()},
    }
    grid = coverage_grid([row for row in rows if row.perturbation is None and not row.imported])
    write_json(workspace.reports / "data_card.json", facts)
    write_lines(workspace.reports / "data_card.md", card(facts, grid))
    _write_grid(workspace, grid)
    return facts


def card(facts: dict[str, Any], grid: Sequence[str]) -> list[str]:
    """Return the data card as Markdown lines."""
    lines = ["# Data card", "", PROVENANCE, "", f"{facts['rows']} rows in {len(facts['counts'])} splits.", "", "## Counts", ""]
    names = [*(c.value for c in Category), *(c.value for c in Channel), *KINDS]
    lines += [f"| split | rows | seeds | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for count in facts["counts"]:
        lines.append(f"| `{count['split']}` | {count['rows']} | {count['seeds']} | {' | '.join(str(count[name]) for name in names)} |")
    lines += ["", "Language: " + ", ".join(f"{name} {count}" for name, count in facts["languages"].items()) + "."]
    lines += [
        "",
        "Safety / other rows by split, channel and kind:",
        "",
        "| split | " + " | ".join(CELLS) + " |",
        "|---" * (len(CELLS) + 1) + "|",
    ]
    for count in facts["counts"]:
        lines.append(f"| `{count['split']}` | " + " | ".join(count["cells"][name] for name in CELLS) + " |")
    lines += ["", "## Behavioural suites", "", "| suite | rows |", "|---|---|", *(f"| {n} | {c} |" for n, c in facts["suites"].items())]
    lines += ["", "## Coverage grid", "", *grid, "", "## Agreement of writers and blind readers", "", *_agreement(facts)]
    lines += ["", "## Leakage", "", "The two most alike messages of different splits, by the cosine of their TF-IDF vectors:", ""]
    lines += [
        f"- {pair['view']}: {pair['cosine']:.2f} ({pair['first']} and {pair['second']}); refused from {pair['limit']:.2f} on"
        for pair in facts["nearest"]
    ]
    form, wider = facts["form"]["length_and_punctuation"], facts["form"]["with_digits_and_capitals"]
    lines += [
        "",
        (
            f"A classifier that sees length and punctuation alone, out of fold on {facts['form']['rows']} rows, tells safety from the "
            f"rest with an AUC of {form['safety_auc']:.3f} (chance 0.500, limit {MAX_FORM_AUC:.2f}) and the three labels with a balanced "
            f"accuracy of {form['balanced_accuracy']:.3f} (chance 0.333, limit {MAX_FORM_ACCURACY:.2f}); the better of a linear model and "
            f"boosted trees. One that sees digits and capitals too reaches {wider['safety_auc']:.3f} and {wider['balanced_accuracy']:.3f}: "
            f"an order number says service. {facts['rewritten']} rows that gave their label away by form were rewritten to the length and "
            "punctuation of a message of another label: these figures are low by design, and traffic's would be higher."
        ),
    ]
    lines += ["", "## Known limits", "", *(f"- {limit}" for limit in LIMITATIONS)]
    lines += ["", "## Hashes", "", "SHA-256 of each split's rows, independent of their order:", ""]
    lines += [f"- `{split}`: `{digest}`" for split, digest in facts["sha256"].items()]
    return lines


def _write_grid(workspace: Workspace, grid: Sequence[str]) -> None:
    path = workspace.datasets / "README.md"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(GRID_BEGIN)
    _, end, after = rest.partition(GRID_END)
    if not begin or not end:
        raise EvalError(f"{path}: the marks {GRID_BEGIN} and {GRID_END} are gone; put them where the coverage grid belongs")
    updated = before + GRID_BEGIN + "\n" + "\n".join(grid) + "\n" + GRID_END + after
    if updated != text:
        write_lines(path, updated.rstrip("\n").split("\n"))


def _counted(split: Split, rows: Sequence[Row]) -> dict[str, Any]:
    labels, channels, kinds = (Counter(values) for values in zip(*((r.label.value, r.channel.value, r.kind) for r in rows), strict=True))
    return {
        "split": split.value,
        "rows": len(rows),
        "seeds": len({row.seed_id for row in rows}),
        **{category.value: labels[category.value] for category in Category},
        **{channel.value: channels[channel.value] for channel in Channel},
        **{kind: kinds[kind] for kind in KINDS},
        "cells": {name: _safety_and_rest(row for row in rows if cell(row) == name) for name in CELLS},
    }


def _safety_and_rest(rows: Iterable[Row]) -> str:
    safety = [row.label == Category.SAFETY_COMPLIANCE for row in rows]
    return f"{sum(safety)} / {len(safety) - sum(safety)}"


def _suite(row: Row) -> str:
    if row.perturbation is None:
        return "seeds"
    return "injection" if row.facet("attack") else f"{row.perturbation} ({EXPECTED[row.perturbation].value})"


def _nearest(splits: dict[Split, list[Row]], view: str) -> dict[str, Any]:
    rows = [row for split in (*DEALT, Split.CRITICAL, Split.ROBUSTNESS) for row in splits[split]]
    pair = nearest_pair([row.message for row in rows], [row.split.value for row in rows], view)
    if pair is None:
        return {"view": view, "cosine": 0.0, "first": "-", "second": "-", "limit": LIMITS[view]}
    return {"view": view, "cosine": pair.cosine, "first": rows[pair.first].id, "second": rows[pair.second].id, "limit": LIMITS[view]}


def _form(found: Probe) -> dict[str, Any]:
    return {
        "rows": found.n,
        "length_and_punctuation": found.form._asdict(),
        "with_digits_and_capitals": found.form_digits_capitals._asdict(),
    }


def _doubts(rows: Sequence[Row], judgements: Sequence[Judgement], seed: int) -> dict[str, int]:
    doubted = {suspect.row.id for suspect in suspects(rows, seed) if suspect.doubted}
    looked_at = audited(judgements, rows)
    return {"doubted": len(doubted), "doubted_and_audited": len(doubted & looked_at), "audited": len(looked_at)}


def _agreement(facts: dict[str, Any]) -> list[str]:
    found, doubts = facts["agreement"], facts["doubts"]
    lines = (
        _coefficients(found, facts["rows"])
        if found["rows"]
        else ["No row has a second, blind label on record yet: no agreement can be stated."]
    )
    lines += [
        "",
        (
            f"cleanlab, over classifiers that have not seen the row, doubts {doubts['doubted']} labels; "
            f"{doubts['doubted_and_audited']} of them and {doubts['audited'] - doubts['doubted_and_audited']} others were looked at "
            "again, each with its reason in `labels.jsonl`. Errata:"
        ),
        "",
    ]
    lines += [f"- `{one['id']}`: {one['was']} → {one['is']} ({one['by']}): {one['reason']}" for one in facts["errata"]] or ["- none"]
    return lines


def _coefficients(found: dict[str, Any], rows: int) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    lines = [
        (
            f"{found['rows']} rows of {rows}, the others being variants, were labelled again, as they are worded now, by readers who saw "
            f"only text, channel and the guide, in random order; {found['read_more_than_once']} of them more than once. "
            f"{found['safety_candidates']} are safety for at least one judge. A reader differs from the writer on "
            f"{len(found['disputed'])}: {', '.join(found['disputed']) or 'none'}."
        ),
        "",
        "| writers' and readers' own labels | Krippendorff's alpha, all judges | Cohen's kappa, writer and first reader |",
        "|---|---|---|",
    ]
    for name, words in (("all_labels", "three labels"), ("safety_against_rest", "safety against the rest")):
        lines.append(f"| {words} | {number(found[name]['krippendorff_alpha'])} | {number(found[name]['cohen_kappa'])} |")
    return lines
