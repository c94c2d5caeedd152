import json
import random
import re
import shutil

import pytest

from evals.coverage import by_topic, voices
from evals.data import FACETS, Split, load_split, split_digest
from evals.errors import DataError
from evals.perturb import typos
from evals.similarity import LIMITS, near_duplicates, nearest_pair
from evals.style import form_features, form_telling, probe
from evals.validation import DEALT, MAX_FORM_ACCURACY, MAX_FORM_AUC, MIN_VOICES, validate, written_rows
from orchestrator.schema import Category


@pytest.fixture
def folder(tmp_path, root):
    return shutil.copytree(root / "datasets", tmp_path / "datasets")


@pytest.fixture
def few(folder):
    """So few rows that the form of the messages is not looked at, which takes most of a validation's time."""
    for split in DEALT:
        path = folder / f"{split.value}.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:80]))
    return folder


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


SIZES = {  # safety and other rows of every split, ../shared/evaluation.md
    Split.DEV: (150, 250),
    Split.CALIBRATION: (236, 264),
    Split.GATE: (300, 400),
    Split.SEALED: (200, 300),
    Split.CRITICAL: (50, 0),
}


def test_the_dataset_holds_and_has_the_promised_sizes(root):
    splits = validate(root / "datasets")
    for split, sizes in SIZES.items():
        safety = sum(row.label == Category.SAFETY_COMPLIANCE for row in splits[split])
        assert (safety, len(splits[split]) - safety) == sizes, split
    for split in DEALT:
        assert {row.channel for row in splits[split]} == {"chat", "voice", "mail"}
        assert 0.3 < sum(row.kind == "hard" for row in splits[split]) / len(splits[split]) < 0.7
        assert {facet for row in splits[split] for facet in FACETS if row.facet(facet)} >= {"topic", "trait", "voice", "lang"}


def test_three_voices_at_least_wrote_in_every_cell_and_one_row_in_twenty_is_spanish_or_mixed(rows):
    written = [row for row in rows if row.perturbation is None]
    assert min(count for _, inside in by_topic(written) for count in voices(inside).values()) >= MIN_VOICES
    assert all(len(row.facet("tone")) == 1 for row in written)
    assert 0.03 < sum(row.facet("lang") != ("en",) for row in written) / len(written) < 0.08


def test_a_cell_that_too_few_voices_wrote_in_is_named(folder):
    for split in DEALT:
        path = folder / f"{split.value}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if "topic:storage" in row["slices"] and row["channel"] == "mail" and row["kind"] == "hard":
                row["slices"] = ["voice:uk" if name.startswith("voice:") else name for name in row["slices"]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "datasets/dev.jsonl:1: voices that wrote mail hard 'storage': 1; write some there until there are 3" in problems(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "urgent"}, "label:.*'informational', 'service_action' or 'safety_compliance'.*'urgent'"),
        ({"message": "  "}, "the message is empty"),
        ({"message": 7}, "message: Input should be a valid string"),
        ({"channel": "fax"}, "channel:.*'fax'"),
        ({"severity": "DROP"}, "needs 'severity'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"slices": ["rash"]}, "of the form facet:value with a facet of topic, trait,"),
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
    last = len(path.read_text().splitlines())
    assert any(p.startswith(f"datasets/gate.jsonl:{last}: not a JSON object") for p in problems(folder))


def test_all_problems_come_at_once(folder):
    edit(folder, "dev", 1, label="x")
    edit(folder, "gate", 2, label="y")
    assert len(problems(folder)) == 2


def test_an_unknown_article_is_named(folder):
    number = first(folder, "dev", "informational")
    edit(folder, "dev", number, article="no-such-article")
    assert "no-such-article" in problems(folder)[0]


def test_an_id_used_twice_and_a_seed_in_two_splits_are_found(few):
    other = edit(few, "dev", 1)
    edit(few, "gate", 3, id=other["id"], seed_id=other["seed_id"])
    found = "\n".join(problems(few))
    assert f"datasets/gate.jsonl:3: id '{other['id']}' stands at" in found
    assert f"seed '{other['seed_id']}' is in split dev too" in found


def test_a_near_duplicate_across_splits_is_found_and_within_one_is_not(few):
    text = "my parcel with the blue inhaler and the spacer has not arrived since last tuesday morning, where is it now please"
    service = [first(few, split, "service_action") for split in ("dev", "gate")]
    edit(few, "dev", service[0], message=text)
    edit(few, "dev", service[0] + 1, message=text + "!")
    assert not any("nearly the same text as" in p for p in problems(few))
    edit(few, "gate", service[1], message=text.replace("tuesday", "Tuesday") + " thanks")
    assert any("nearly the same text as" in p and p.startswith("datasets/gate.jsonl") for p in problems(few))


def test_the_same_words_in_another_order_are_a_near_duplicate(few):
    text = "parcel blue inhaler spacer arrived tuesday morning cracked lid green tape around courier left wet doorstep"
    words = text.split()
    numbers = [first(few, split, "service_action") for split in ("dev", "gate")]
    edit(few, "dev", numbers[0], message=text)
    edit(few, "gate", numbers[1], message=" ".join(reversed(words)))
    assert any("nearly the same text as" in p and p.startswith("datasets/gate.jsonl") for p in problems(few))


def test_topics_that_are_not_as_in_the_other_splits_are_found(folder):
    path = folder / "gate.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["label"] == "service_action":
            row["slices"] = ["topic:refund" if name.startswith("topic:") else name for name in row["slices"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert any(
        p.startswith("datasets/gate.jsonl:1: the topics of service_action rows") and "'refund' is 100%" in p for p in problems(folder)
    )


def test_a_form_that_gives_the_label_away_is_found(folder):
    for split in DEALT:
        path = folder / f"{split.value}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if row["label"] == "safety_compliance":
                row["message"] += "!!!"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert any("length and punctuation alone" in p for p in problems(folder))


def test_labels_out_of_balance_are_found(few):
    path = few / "gate.jsonl"
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["label"] != "safety_compliance"]
    path.write_text("\n".join(lines) + "\n")
    found = "\n".join(problems(few))
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


def test_the_guide_quotes_no_row_that_may_not_be_tuned_on(root, rows):
    guide = (root / "datasets" / "README.md").read_text().split("## The label guide")[1].split("## A row")[0]
    held_out = [" ".join(words(row.message)) for row in rows if row.split not in {Split.DEV, Split.CALIBRATION}]
    examples = [words(line.split("|")[1]) for line in guide.splitlines() if line.startswith("| ")]
    runs = {" ".join(example[n : n + 5]) for example in examples for n in range(len(example) - 4)}
    assert len(runs) > 50
    assert not {run for run in runs for message in held_out if f" {run} " in f" {message} "}


def words(text):
    return re.findall(r"\w+", text.lower())


def test_the_style_probe_sees_form_and_no_words(root):
    assert form_features("My arm itches, why?") == form_features("Is soap bitter, eh?")
    splits = {split: load_split(root / "datasets", split) for split in Split}
    rows = written_rows(splits)
    found = probe(rows, 1)
    assert found.form.safety_auc <= MAX_FORM_AUC
    assert found.form.balanced_accuracy <= MAX_FORM_ACCURACY
    telling = [row.model_copy(update={"message": row.message + "!" * (row.severity is not None)}) for row in rows]
    assert form_telling(telling, 1).safety_auc > 0.9
    assert form_features("ab c.") == form_features("A1 c.")
    numbered = [row.model_copy(update={"message": row.message.swapcase() if row.intent else row.message}) for row in rows]
    shouted = probe(numbered, 1)
    assert shouted.form == found.form
    assert shouted.form_digits_capitals.balanced_accuracy > found.form_digits_capitals.balanced_accuracy


def test_every_near_pair_is_found_once_in_any_order_of_size():
    texts = [f"message number {n} about nothing {n * 7919}" for n in range(600)]
    copies = [f"the very same parcel of vitamins number {n} has come twice to my door on a {n} day" for n in (3, 4000)]
    pairs = list(near_duplicates([copies[0], *texts, copies[0], copies[1], copies[1] + "!"]))
    among = {(p.first, p.second) for p in pairs if p.first in {0, 601, 602, 603} and p.second in {0, 601, 602, 603}}
    assert {(0, 601), (602, 603)} <= among
    assert len({(p.first, p.second) for p in pairs}) == len(pairs)
    assert all(p.cosine >= LIMITS[p.view] - 1e-5 for p in pairs)
    assert list(near_duplicates([copies[0], copies[0], "else"], since=2)) == []


def test_texts_without_a_word_are_like_nothing():
    assert list(near_duplicates(["...", "!!!", "? ?"])) == []
    assert nearest_pair(["a long message", "a long message"], ["x", "x"], "words") is None


def test_a_typo_keeps_two_messages_near():
    text = "the pharmacist put somebody else's water tablets into my bag again and I only noticed at home"
    pair = nearest_pair([text, typos(text, random.Random(1)), "what are your hours"], ["a", "b", "b"], "characters")
    assert (pair.first, pair.second) == (0, 1)
    assert pair.cosine > 0.5
