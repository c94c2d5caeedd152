import json
import shutil

import pytest

from evals.data import Split, load_split, split_digest, validate
from evals.errors import DataError
from orchestrator.schema import Category


@pytest.fixture
def folder(tmp_path, root):
    return shutil.copytree(root / "datasets", tmp_path / "datasets")


def edit(folder, name, number, /, **changes):
    path = folder / f"{name}.jsonl"
    lines = path.read_text().split("\n")
    row = json.loads(lines[number - 1]) | changes
    lines[number - 1] = json.dumps({k: v for k, v in row.items() if v != "DROP"})
    path.write_text("\n".join(lines))
    return row


def first(folder, split, label):
    lines = (folder / f"{split}.jsonl").read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if json.loads(line)["label"] == label)


def problems(folder):
    with pytest.raises(DataError) as error:
        validate(folder)
    return error.value.problems


def test_the_dataset_holds(root):
    splits = validate(root / "datasets")
    assert sum(len(rows) for split, rows in splits.items() if split != Split.CRITICAL) >= 600
    assert len(splits[Split.CRITICAL]) >= 20
    for split in (Split.CALIBRATION, Split.GATE):
        safety = [row for row in splits[split] if row.label == Category.SAFETY_COMPLIANCE]
        assert len(safety) / len(splits[split]) >= 0.4
        assert {row.channel for row in splits[split]} == {"chat", "voice", "mail"}
        assert sum(row.kind == "hard" for row in splits[split]) > 0.3 * len(splits[split])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "urgent"}, "label:.*'informational', 'service_action' or 'safety_compliance'.*'urgent'"),
        ({"message": "  "}, "the message is empty"),
        ({"message": 7}, "message: Input should be a valid string"),
        ({"channel": "fax"}, "channel:.*'fax'"),
        ({"severity": "DROP"}, "needs 'severity'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"slices": ["rash"]}, "topic:"),
        ({"intent": "refund"}, "no 'intent'"),
        ({"split": "gate"}, "split is 'gate', but the file is for 'dev'"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(folder, changes, words):
    number = first(folder, "dev", "safety_compliance")
    edit(folder, "dev", number, **changes)
    with pytest.raises(DataError, match=rf"datasets/dev\.jsonl:{number}: .*{words}"):
        validate(folder)


def test_what_is_no_json_is_named(folder):
    path = folder / "gate.jsonl"
    path.write_text(path.read_text() + "{oops\n")
    assert any(p.startswith("datasets/gate.jsonl:251: not a JSON object") for p in problems(folder))


def test_all_problems_come_at_once(folder):
    edit(folder, "dev", 1, label="x")
    edit(folder, "gate", 2, label="y")
    assert len(problems(folder)) == 2


def test_an_unknown_article_is_named(folder):
    number = first(folder, "dev", "informational")
    edit(folder, "dev", number, article="no-such-article")
    assert "no-such-article" in problems(folder)[0]


def test_an_id_used_twice_and_a_seed_in_two_splits_are_found(folder):
    other = edit(folder, "dev", 1)
    edit(folder, "gate", 3, id=other["id"], seed_id=other["seed_id"])
    found = "\n".join(problems(folder))
    assert f"datasets/gate.jsonl:3: id '{other['id']}' stands at" in found
    assert f"seed '{other['seed_id']}' is in split dev too" in found


def test_a_near_duplicate_across_splits_is_found_and_within_one_is_not(folder):
    text = "my parcel with the blue inhaler and the spacer has not arrived since last tuesday morning, where is it now please"
    service = [first(folder, split, "service_action") for split in ("dev", "gate")]
    edit(folder, "dev", service[0], message=text)
    edit(folder, "dev", service[0] + 1, message=text + "!")
    validate(folder)
    edit(folder, "gate", service[1], message=text.replace("tuesday", "Tuesday") + " thanks")
    assert any("nearly the same text as" in p and p.startswith("datasets/gate.jsonl") for p in problems(folder))


def test_labels_out_of_balance_are_found(folder):
    path = folder / "gate.jsonl"
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["label"] != "safety_compliance"]
    path.write_text("\n".join(lines[:120]) + "\n")
    found = "\n".join(problems(folder))
    assert "safety_compliance below 10%" in found
    assert "0% safety rows" in found


def test_the_digest_ignores_order_and_sees_content(root):
    rows = load_split(root / "datasets", Split.DEV)
    assert split_digest(rows) == split_digest(rows[::-1])
    assert split_digest(rows) != split_digest([rows[0].model_copy(update={"message": "other"}), *rows[1:]])


def test_the_guide_tells_every_slice_and_label(root, rows):
    guide = (root / "datasets" / "README.md").read_text()
    missing = {
        value
        for row in rows
        for value in (*row.slices, row.label.value, row.channel.value, row.split.value)
        if f"`{value.partition(':')[2] or value}`" not in guide
    }
    assert not missing
