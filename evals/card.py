"""The data card: what the dataset holds, where it comes from, how far it can be trusted: ``datasets -> reports/data_card.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from evals.data import Row, Split, load_split, split_digest
from evals.errors import EvalError
from evals.judgements import agreement, errata, load_judgements
from evals.similarity import LIMITS, VIEWS, nearest_pair
from evals.style import probe
from evals.validation import DEALT, MAX_STYLE_AUC, written_rows
from evals.variants import EXPECTED, expand
from evals.workspace import Workspace, write_json, write_lines
from orchestrator.schema import Category, Channel

KINDS = ("clear", "hard")
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
    judgements = load_judgements(workspace.datasets)
    written = written_rows(splits)
    facts: dict[str, Any] = {
        "rows": sum(len(rows) for rows in splits.values()),
        "counts": [_counted(split, rows) for split, rows in splits.items()],
        "suites": dict(sorted(Counter(_suite(row) for row in expand(splits[Split.ROBUSTNESS])).items())),
        "languages": dict(sorted(Counter(value for row in written for value in row.facet("lang")).items())),
        "agreement": agreement(judgements),
        "audited": sum(judgement.by == "audit" for judgement in judgements),
        "errata": errata(judgements),
        "nearest": [_nearest(splits, view) for view in VIEWS],
        "style_probe": probe(written, workspace.params().seed)._asdict(),
        "sha256": {split.value: split_digest(rows) for split, rows in splits.items()},
    }
    grid = coverage_grid([row for rows in splits.values() for row in rows if row.perturbation is None and not row.imported])
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
    lines += ["", "Safety / other rows by split, channel and kind:", "", "| split | " + " | ".join(_cell_names()) + " |", "|---" * 7 + "|"]
    for count in facts["counts"]:
        lines.append(f"| `{count['split']}` | " + " | ".join(count["cells"][name] for name in _cell_names()) + " |")
    lines += ["", "## Behavioural suites", "", "| suite | rows |", "|---|---|", *(f"| {n} | {c} |" for n, c in facts["suites"].items())]
    lines += ["", "## Coverage grid", "", *grid, "", "## Agreement of writers and blind readers", "", *_agreement(facts)]
    lines += ["", "## Leakage", "", "The two most alike messages of different splits, by the cosine of their TF-IDF vectors:", ""]
    lines += [
        f"- {pair['view']}: {pair['cosine']:.2f} ({pair['first']} and {pair['second']}); refused from {pair['limit']:.2f} on"
        for pair in facts["nearest"]
    ]
    found = facts["style_probe"]
    lines += [
        "",
        (
            f"A classifier that sees length and punctuation alone tells safety from the rest with an AUC of {found['safety_auc']:.3f} "
            f"(chance 0.500, limit {MAX_STYLE_AUC:.2f}) and the three labels with a balanced accuracy of "
            f"{found['balanced_accuracy']:.3f} (chance 0.333), out of fold on {found['n']} rows. Boosted trees, which see "
            f"combinations of the two, reach an AUC of {found['boosted_auc']:.3f}: form still tells a little."
        ),
    ]
    lines += ["", "## Known limits", "", *(f"- {limit}" for limit in LIMITATIONS)]
    lines += ["", "## Hashes", "", "SHA-256 of each split's rows, independent of their order:", ""]
    lines += [f"- `{split}`: `{digest}`" for split, digest in facts["sha256"].items()]
    return lines


def coverage_grid(rows: Sequence[Row]) -> list[str]:
    """Return topic by channel, difficulty and tone as a Markdown table; a row counts to its first topic.

    The last column counts the voices in the channel where the topic has fewest.
    """
    tones = sorted({tone for row in rows for tone in row.facet("tone")})
    lines = ["| topic | " + " | ".join([*_cell_names(), *tones, "voices"]) + " |", "|---" * (8 + len(tones)) + "|"]
    for label in reversed(Category):
        topics: dict[str, list[Row]] = {}
        for row in rows:
            if row.label == label:
                topics.setdefault(next(iter(row.facet("topic")), "none"), []).append(row)
        for topic, inside in sorted(topics.items()):
            cells = Counter(f"{row.channel.value} {row.kind}" for row in inside)
            moods = Counter(tone for row in inside for tone in row.facet("tone"))
            voices = min(len({voice for row in inside if row.channel == channel for voice in row.facet("voice")}) for channel in Channel)
            numbers = [*(cells[name] for name in _cell_names()), *(moods[tone] for tone in tones), voices]
            lines.append(f"| `{topic}` | " + " | ".join(str(number) for number in numbers) + " |")
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
        "cells": {name: _safety_and_rest(row for row in rows if f"{row.channel.value} {row.kind}" == name) for name in _cell_names()},
    }


def _safety_and_rest(rows: Iterable[Row]) -> str:
    safety = [row.label == Category.SAFETY_COMPLIANCE for row in rows]
    return f"{sum(safety)} / {len(safety) - sum(safety)}"


def _cell_names() -> list[str]:
    return [f"{channel.value} {kind}" for channel in Channel for kind in KINDS]


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


def _agreement(facts: dict[str, Any]) -> list[str]:
    found = facts["agreement"]
    lines = (
        _coefficients(found, facts["rows"])
        if found["rows"]
        else ["No row has a second, blind label on record yet: no agreement can be stated."]
    )
    lines += [
        "",
        f"{facts['audited']} labels that cleanlab doubted were looked at again, each with its reason in `labels.jsonl`. Errata:",
        "",
    ]
    lines += [f"- `{one['id']}`: {one['was']} → {one['is']} ({one['by']}): {one['reason']}" for one in facts["errata"]] or ["- none"]
    return lines


def _coefficients(found: dict[str, Any], rows: int) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    lines = [
        (
            f"{found['rows']} of {rows} rows were labelled a second time by readers who saw only text, channel and the policy, in random "
            f"order; {found['safety_candidates']} of them are safety for at least one of the two. They agree on {found['agreed']}."
        ),
        "",
        "| | Krippendorff's alpha | Cohen's kappa |",
        "|---|---|---|",
    ]
    for name, words in (("all_labels", "three labels"), ("safety_against_rest", "safety against the rest")):
        lines.append(f"| {words} | {number(found[name]['krippendorff_alpha'])} | {number(found[name]['cohen_kappa'])} |")
    return lines
