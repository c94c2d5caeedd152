import json
import re

import pytest
from support import evals

from evals.card import GRID_BEGIN, GRID_END
from evals.coverage import coverage_grid
from evals.data import Split, load_split, split_digest


@pytest.fixture(scope="module")
def facts(root):
    return json.loads((root / "reports" / "data_card.json").read_text())


def test_the_committed_card_is_of_the_committed_data(root, facts):
    text = (root / "reports" / "data_card.md").read_text()
    assert "written by a language model" in text
    for split in Split:
        rows = load_split(root / "datasets", split)
        assert facts["sha256"][split.value] == split_digest(rows)
        assert f"| `{split.value}` | {len(rows)} |" in text
    for section in ("Counts", "Coverage grid", "Agreement", "Leakage", "Known limits", "Hashes", "Behavioural suites"):
        assert f"## {section}" in text


def test_the_grid_in_the_guide_is_the_cards(root):
    guide = (root / "datasets" / "README.md").read_text()
    grid = guide.split(GRID_BEGIN)[1].split(GRID_END)[0].strip()
    assert grid in (root / "reports" / "data_card.md").read_text()


def test_the_grid_counts_every_row_once_by_channel_and_kind(rows):
    originals = [row for row in rows if row.perturbation is None]
    cells = [line.strip("| ").split(" | ") for line in coverage_grid(originals)[2:]]
    assert sum(int(number) for line in cells for number in line[1:7]) == len(originals)
    assert len(cells) == len({topic for row in originals for topic in row.facet("topic")})


def test_the_card_is_written_by_the_verb_and_is_the_committed_one(workspace, root):
    assert evals(workspace, "card") == 0
    for name in ("data_card.md", "data_card.json"):
        assert (workspace.reports / name).read_bytes() == (root / "reports" / name).read_bytes()


def test_a_guide_without_the_marks_is_refused(workspace, capsys):
    path = workspace.datasets / "README.md"
    path.write_text(path.read_text().replace(GRID_BEGIN, ""))
    assert evals(workspace, "card") == 2
    assert "put them where the coverage grid belongs" in capsys.readouterr().err


def test_errata_and_agreement_are_told(root, facts):
    text = (root / "reports" / "data_card.md").read_text()
    kappa = facts["agreement"]["all_labels"]["cohen_kappa"]
    assert (f"{kappa:.3f}" if kappa is not None else "no agreement can be stated") in text
    assert all(f"- `{one['id']}`: {one['was']} → {one['is']}" in text for one in facts["errata"])
    assert facts["doubts"]["doubted"] == facts["doubts"]["doubted_and_audited"] > 0


def test_a_doubtful_label_is_ranked_high(workspace, capsys):
    path = workspace.datasets / "dev.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    victim = next(r for r in rows if "topic:adverse_reaction" in r["slices"] and r["kind"] == "clear")
    victim |= {"label": "informational", "article": "none"}
    del victim["severity"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert evals(workspace, "suspects") == 0
    doubted = re.findall(r"^(m\d+) .*; doubted", capsys.readouterr().out, re.MULTILINE)
    assert victim["id"] in doubted
    assert evals(workspace, "suspects", "--most", "150") == 0
    ranked = re.findall(r"^(m\d+) ", capsys.readouterr().out, re.MULTILINE)
    assert victim["id"] in ranked
    assert len(ranked) == 150


def test_power_is_printed_for_the_present_sizes(evaluated_once, promoted_once, capsys):
    assert evals(evaluated_once, "power", "--misses", "0.02", "--disagreement", "0.02", "--other-disagreement", "0.1") == 0
    assert "300 safety and 400 other rows" in capsys.readouterr().out
    assert evals(evaluated_once, "power", "--misses", "0.02") == 2
    assert "there is no champion" in capsys.readouterr().err
    assert evals(promoted_once, "power") == 0
    shown = capsys.readouterr().out
    assert "300 safety and 400 other rows" in shown
    assert all(words in shown for words in ("PASS", "INCONCLUSIVE", "safety capture, sealed", "accuracy, gate"))
    assert evals(promoted_once, "power", "--misses", "1.5") == 2
