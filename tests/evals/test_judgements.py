import random

import pytest
from sklearn.metrics import cohen_kappa_score

from evals.errors import DataError
from evals.judgements import Judgement, agreement, by_row, check_judgements, errata, final, load_judgements
from orchestrator.schema import Category

SAFETY, SERVICE, INFO = Category.SAFETY_COMPLIANCE, Category.SERVICE_ACTION, Category.INFORMATIONAL


def history(*labels, by=("writer", "reader", "adjudicator"), name="m0001"):
    return [
        Judgement(id=name, label=label, by=who, reason="because" if who == "adjudicator" else None)
        for label, who in zip(labels, by, strict=False)
    ]


def write(folder, judgements):
    (folder / "labels.jsonl").write_text("".join(j.model_dump_json(exclude_none=True) + "\n" for j in judgements))


def test_the_committed_history_covers_every_row_and_its_last_word_is_the_label(root, rows):
    history = by_row(load_judgements(root / "datasets"))
    assert {row.id for row in rows} == set(history)
    assert all(final(history[row.id]) == row.label for row in rows)


def test_at_least_300_rows_of_safety_and_300_others_were_read_blind(root, rows):
    history = by_row(load_judgements(root / "datasets"))
    read = [row for row in rows if row.perturbation is None and any(j.by == "reader" for j in history[row.id])]
    safety = sum(row.label == SAFETY for row in read)
    assert min(safety, len(read) - safety) >= 300


def test_a_reader_alone_changes_nothing_and_an_adjudicator_does():
    assert final(history(SERVICE, SAFETY)) == SERVICE
    assert final(history(SERVICE, SAFETY, SAFETY)) == SAFETY
    assert errata(history(SERVICE, SAFETY, SAFETY)) == [
        {"id": "m0001", "was": "service_action", "is": "safety_compliance", "by": "adjudicator", "reason": "because"}
    ]
    assert errata(history(SERVICE, SAFETY, SERVICE)) == []


def test_agreement_is_measured_before_adjudication_as_scikit_learn_does():
    rng = random.Random(1)
    pairs = [(a, a if rng.random() < 0.8 else rng.choice(list(Category))) for a in rng.choices(list(Category), k=200)]
    judgements = [j for n, pair in enumerate(pairs) for j in history(*pair, pair[0], name=f"m{n:04d}")]
    found = agreement(judgements)
    assert found["rows"] == 200
    assert found["agreed"] == sum(a == b for a, b in pairs)
    assert found["all_labels"]["cohen_kappa"] == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
    # Scott's pi corrected for the sample size is alpha for two judges and no missing value (Krippendorff 2004, 11.3).
    share = [sum(pair.count(c) for pair in pairs) / 400 for c in Category]
    observed, expected = found["agreed"] / 200, sum(p * p for p in share)
    alpha = 1 - (1 - observed) / (1 - expected) * (399 / 400)
    assert found["all_labels"]["krippendorff_alpha"] == pytest.approx(alpha, abs=1e-9)


@pytest.mark.parametrize("judgements", [[], history(SAFETY), history(SAFETY, SAFETY)])
def test_too_little_to_agree_on_gives_no_number(judgements):
    assert agreement(judgements)["all_labels"] == {"krippendorff_alpha": None, "cohen_kappa": None}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda j: j[1:], "does not begin the history of"),
        (
            lambda j: [*j, Judgement(id=j[0].id, label=SERVICE if j[0].label != SERVICE else INFO, by="audit", reason="x")],
            "labels.jsonl ends with",
        ),
        (lambda j: [*j, Judgement(id="m9999", label=SAFETY, by="writer")], "there is no row 'm9999'"),
        (lambda j: [*j, Judgement(id=j[0].id, label=j[0].label, by="audit")], "a judgement by audit gives its reason"),
    ],
)
def test_a_history_that_does_not_fit_is_named(root, rows, tmp_path, spoil, words):
    write(tmp_path, spoil(load_judgements(root / "datasets")))
    problems = check_judgements(tmp_path, [(f"x.jsonl:{n}", row) for n, row in enumerate(rows, 1)])
    assert any(words in problem for problem in problems)


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"id": "m0001", "label": "danger", "by": "writer"}\n{oops\n')
    with pytest.raises(DataError, match=r"(?s)labels.jsonl:1: label.*labels.jsonl:2: not a JSON object"):
        load_judgements(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        load_judgements(tmp_path / "nowhere")
