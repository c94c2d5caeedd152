"""The evaluation of intents and slots, on a small data set made of dev and calibration rows."""

import json
from collections import defaultdict

import pytest

from evals.data import Row, Split
from evals.errors import DataError, EvalError
from evals.intervals import proportion
from evals.workflows.resample import f1_estimate, macro_f1_estimate
from evals.workflows.service import evaluate, render, train
from evals.workflows.slot_scores import load_slot_labels, score_slots
from orchestrator.service.intents import Intent, IntentFinder
from orchestrator.text_model import TextModel

INTENTS = (Intent.REFUND, Intent.TRACK_ORDER, Intent.CANCEL)  # few, so that training is short
EACH = 5  # rows of an intent and a split: as many as there are folds


def write(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def datasets(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    for split, source in ((Split.DEV, Split.DEV), (Split.CALIBRATION, Split.CALIBRATION), (Split.GATE, Split.CALIBRATION)):
        by_intent = defaultdict(list)
        for row in rows:
            if row.split == source and row.intent in INTENTS and not row.perturbation:
                by_intent[row.intent].append(row.model_dump(mode="json", exclude_none=True) | {"split": split.value})
        write(folder / f"{split.value}.jsonl", [row for some in by_intent.values() for row in some[:EACH]])
    first = json.loads((folder / "dev.jsonl").read_text(encoding="utf-8").splitlines()[0])
    write(folder / "slots.jsonl", [{"id": first["id"], "split": "dev", "slots": {"order_number": "40-7765", "date": "the 2nd"}}])
    return folder


def test_the_figures_are_plain_json_and_are_rendered_with_their_intervals(datasets):
    figures = evaluate(datasets)
    assert json.loads(json.dumps(figures)) == figures
    intents = figures["intents"]
    assert set(intents["out_of_fold"]) == {"words", "signs", "words and signs"}
    assert intents["gate"]["accuracy"]["n"] == EACH * len(INTENTS)
    assert figures["slots"]["dev"]["order_number"]["recall"] == proportion(1, 1).model_dump()
    assert figures["slots"]["gate"]["date"]["f1"]["value"] is None
    text = render(figures)
    assert "| dev | order_number | 1 | 1 | 1.000 (" in text
    assert "| gate | date | 0 | 0 | none | none | none |" in text


def test_training_twice_writes_the_same_file_which_finds_intents(datasets, tmp_path):
    first, second = tmp_path / "models" / "a.json", tmp_path / "models" / "b.json"
    train(datasets, 0, first)
    train(datasets, 0, second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in first.parent.iterdir()) == ["a.json", "b.json"]
    assert IntentFinder(TextModel.load(first))("i want a refund, money back")[0] == Intent.REFUND


def row_of(message: str) -> Row:
    return Row(
        id="m0001",
        seed_id="s0001",
        message=message,
        channel="chat",
        label="service_action",
        split="dev",
        kind="clear",
        slices=("lang:en",),
        intent="refund",
    )


@pytest.mark.parametrize(
    ("message", "slots", "name", "counts"),
    [
        ("refund order 8812 please", {"order_number": ["8812"]}, "order_number", (1, 1, 1, 1)),
        ("refund order 8812-3 please", {"order_number": ["8812"]}, "order_number", (1, 0, 1, 0)),
        ("sent back last Tuesday at 3pm", {"date": ["tuesday"]}, "date", (1, 1, 1, 1)),
        ("sent back last Tuesday", {"date": []}, "date", (1, 0, 0, 0)),
        ("it was in the spring", {"date": ["in the spring"]}, "date", (0, 0, 1, 0)),
    ],
)
def test_a_slot_is_right_where_it_overlaps_a_label_and_a_number_where_it_is_the_same(message, slots, name, counts):
    assert score_slots([row_of(message)], {"m0001": slots})[name] == [counts]


def test_a_message_without_labels_is_not_scored():
    assert score_slots([row_of("order 8812")], {})["order_number"] == []


def test_a_label_that_is_not_in_its_message_is_an_error():
    with pytest.raises(EvalError, match="m0001"):
        score_slots([row_of("order 8812")], {"m0001": {"order_number": ["8813"]}})


def test_wrong_labels_are_named_by_line_and_a_missing_file_by_its_path(tmp_path):
    path = tmp_path / "slots.jsonl"
    with pytest.raises(EvalError, match=r"slots\.jsonl is missing"):
        load_slot_labels(path)
    write(path, [{"id": "m0001", "slots": {"date": "friday"}}, {"id": "m0002"}, {"id": "m0003", "slots": {"day": "x"}}])
    with pytest.raises(DataError) as raised:
        load_slot_labels(path)
    assert [problem.partition(": ")[0].rpartition(":")[2] for problem in raised.value.problems] == ["2", "3"]


def test_f1_has_an_interval_around_it():
    estimate = f1_estimate([(1, 1, 1, 1)] * 30 + [(1, 0, 1, 0)] * 10, seed=0)
    assert estimate.value == pytest.approx(0.75)
    assert estimate.low < 0.75 < estimate.high


def test_macro_f1_is_the_oracles():
    from sklearn.metrics import f1_score

    labels, found = list("aabbbccccd") * 3, list("aabbcccadd") * 3
    estimate = macro_f1_estimate(labels, found, seed=0)
    assert estimate.value == pytest.approx(f1_score(labels, found, average="macro"))
    assert estimate.low <= estimate.value <= estimate.high
