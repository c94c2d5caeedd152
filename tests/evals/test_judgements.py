import random

import pytest
from sklearn.metrics import cohen_kappa_score

from evals.data import Row, Split
from evals.errors import DataError
from evals.judgements import Judgement, agreement, audited, by_row, check_judgements, errata, final, load_judgements, rewritten, wording
from orchestrator.schema import Category, Channel

SAFETY, SERVICE, INFO = Category.SAFETY_COMPLIANCE, Category.SERVICE_ACTION, Category.INFORMATIONAL


def history(*labels, by=("writer", "reader", "adjudicator"), name="m0001", message="hello"):
    return [
        Judgement(id=name, label=label, by=who, text=wording(message), reason="because" if who in {"adjudicator", "audit"} else None)
        for label, who in zip(labels, by, strict=False)
    ]


def row(name="m0001", message="hello"):
    return Row(
        id=name,
        seed_id="s" + name[1:],
        message=message,
        channel=Channel.CHAT,
        label=SERVICE,
        split=Split.DEV,
        kind="clear",
        slices=("topic:refund",),
        intent="refund",
    )


def write(folder, judgements):
    (folder / "labels.jsonl").write_text("".join(j.model_dump_json(exclude_none=True) + "\n" for j in judgements))


def test_the_committed_history_covers_every_row_and_its_last_word_is_the_label(root, rows):
    history = by_row(load_judgements(root / "datasets"))
    assert {row.id for row in rows} == set(history)
    assert all(final(history[row.id]) == row.label for row in rows)


def test_every_row_was_read_blind_as_it_is_worded_now(root, rows):
    judgements = load_judgements(root / "datasets")
    read = {(one.id, one.text) for one in judgements if one.by == "reader"}
    assert {(row.id, wording(row.message)) for row in rows} <= read
    assert agreement(judgements, rows)["rows"] == sum(row.perturbation is None for row in rows)


def test_a_change_of_wording_asks_for_a_new_label_and_drops_the_old_reading(tmp_path):
    judgements = history(SERVICE, SAFETY, SAFETY, SAFETY, by=("writer", "reader", "adjudicator", "audit"))
    write(tmp_path, judgements)
    assert (
        "the label is 'service_action', but labels.jsonl ends with 'safety_compliance'" in check_judgements(tmp_path, [("x:1", row())])[0]
    )
    problem = check_judgements(tmp_path, [("x:1", row(message="bye"))])[0]
    assert "x:1: labels.jsonl holds no writer's label of this wording of 'm0001'; append " in problem
    line = problem.split("append ")[1]
    write(tmp_path, [*judgements, Judgement.model_validate_json(line)])
    assert check_judgements(tmp_path, [("x:1", row(message="bye"))]) == []
    both = load_judgements(tmp_path)
    assert rewritten(both) == {"m0001"}
    assert agreement(both, [row(message="bye")])["rows"] == 0
    assert audited(both, [row(message="bye")]) == set()
    assert audited(both, [row()]) == {"m0001"}


def test_a_reader_alone_changes_nothing_and_an_adjudicator_does():
    assert final(history(SERVICE, SAFETY)) == SERVICE
    assert final(history(SERVICE, SAFETY, SAFETY)) == SAFETY
    assert errata(history(SERVICE, SAFETY, SAFETY)) == [
        {"id": "m0001", "was": "service_action", "is": "safety_compliance", "by": "adjudicator", "reason": "because"}
    ]
    assert errata(history(SERVICE, SAFETY, SERVICE)) == []


def test_agreement_is_of_the_judges_own_labels_as_scikit_learn_has_it():
    rng = random.Random(1)
    pairs = [(a, a if rng.random() < 0.8 else rng.choice(list(Category))) for a in rng.choices(list(Category), k=200)]
    judgements = [j for n, pair in enumerate(pairs) for j in history(*pair, pair[0], name=f"m{n:04d}")]
    found = agreement(judgements, [row(f"m{n:04d}") for n in range(200)])
    agreed = sum(a == b for a, b in pairs)
    assert found["rows"] == 200
    assert len(found["disputed"]) == 200 - agreed
    assert found["all_labels"]["cohen_kappa"] == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))
    # Scott's pi corrected for the sample size is alpha for two judges and no missing value (Krippendorff 2004, chapter 11).
    share = [sum(pair.count(c) for pair in pairs) / 400 for c in Category]
    observed, expected = agreed / 200, sum(p * p for p in share)
    alpha = 1 - (1 - observed) / (1 - expected) * (399 / 400)
    assert found["all_labels"]["krippendorff_alpha"] == pytest.approx(alpha, abs=1e-9)


def test_alpha_takes_every_reader_and_kappa_the_first():
    readers = ("writer", "reader", "reader")
    judgements = [
        *history(SAFETY, SAFETY, INFO, by=readers, name="m0001"),
        *history(INFO, INFO, by=readers, name="m0002"),
        *history(SERVICE, SERVICE, SERVICE, by=readers, name="m0003"),
    ]
    found = agreement(judgements, [row("m0001"), row("m0002"), row("m0003")])
    assert (found["rows"], found["read_more_than_once"], found["disputed"]) == (3, 2, ["m0001"])
    assert found["all_labels"]["cohen_kappa"] == 1.0
    # By hand, after Krippendorff 2004, chapter 11: coincidences of m0001 are 1 on the diagonal and 2 off it; n = 8 values.
    observed = 2 / 8
    expected = (2 * (2 * 3) + 2 * (2 * 3) + 2 * (3 * 3)) / (8 * 7)
    assert found["all_labels"]["krippendorff_alpha"] == pytest.approx(1 - observed / expected)


def test_a_variant_counts_to_no_agreement():
    variant = row().model_copy(update={"id": "m0001.slang"})
    assert agreement(history(SERVICE, SAFETY, name="m0001.slang"), [variant])["rows"] == 0


def test_a_dispute_that_nobody_decided_is_named_with_the_line_that_is_missing(tmp_path):
    write(tmp_path, history(SERVICE, SAFETY))
    (problem,) = check_judgements(tmp_path, [("x:1", row())])
    assert "a reader differs from the writer of 'm0001' and nobody has decided; append " in problem
    decided = Judgement.model_validate_json(problem.split("append ")[1])
    assert (decided.by, decided.label) == ("adjudicator", SERVICE)
    write(tmp_path, [*history(SERVICE, SAFETY), decided])
    assert check_judgements(tmp_path, [("x:1", row())]) == []


def test_judges_of_one_mind_with_an_odd_reader_have_no_kappa_and_an_alpha():
    judgements = [*history(INFO, INFO, SAFETY, by=("writer", "reader", "reader")), *history(INFO, INFO, name="m0002")]
    found = agreement(judgements, [row(), row("m0002")])["all_labels"]
    assert found["cohen_kappa"] is None
    assert found["krippendorff_alpha"] is not None


@pytest.mark.parametrize("judgements", [[], history(SAFETY), history(SAFETY, SAFETY)])
def test_too_little_to_agree_on_gives_no_number(judgements):
    assert agreement(judgements, [row()])["all_labels"] == {"krippendorff_alpha": None, "cohen_kappa": None}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda j: j[1:], "holds no writer's label of this wording of"),
        (
            lambda j: [*j, j[0].model_copy(update={"label": SERVICE if j[0].label != SERVICE else INFO, "by": "audit", "reason": "x"})],
            "labels.jsonl ends with",
        ),
        (lambda j: [*j, j[0].model_copy(update={"id": "m9999"})], "there is no row 'm9999'"),
        (lambda j: [*j, j[0].model_copy(update={"by": "audit"})], "a judgement by audit gives its reason"),
        (lambda j: [*j, j[0].model_copy(update={"by": "reader", "text": "00000000"})], "no writer's label of wording 00000000"),
    ],
)
def test_a_history_that_does_not_fit_is_named(root, rows, tmp_path, spoil, words):
    write(tmp_path, spoil(load_judgements(root / "datasets")))
    problems = check_judgements(tmp_path, [(f"x.jsonl:{n}", row) for n, row in enumerate(rows, 1)])
    assert any(words in problem for problem in problems)


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"id": "m0001", "label": "danger", "by": "writer", "text": "0a1b2c3d"}\n{oops\n')
    with pytest.raises(DataError, match=r"(?s)labels.jsonl:1: label.*labels.jsonl:2: not a JSON object"):
        load_judgements(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        load_judgements(tmp_path / "nowhere")
