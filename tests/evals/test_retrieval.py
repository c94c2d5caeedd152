import json
import shutil
from pathlib import Path

import pytest

from evals.data import Split, load_split
from evals.errors import DataError
from evals.workflows import retrieval
from evals.workflows.abstention import chosen_on, utility
from evals.workflows.article_labels import LabelledRow, load_labelled
from evals.workflows.retrieval import Found, choose_threshold, measures
from orchestrator.knowledge_base import KnowledgeBase, load_articles
from orchestrator.schema import Category

ROOT = Path(__file__).resolve().parents[2]
DATASETS = ROOT / "datasets"
STORED = ROOT / "orchestrator" / "knowledge_base" / "threshold.json"


@pytest.fixture(scope="module")
def rows():
    return [row for row in load_split(DATASETS, Split.DEV) if row.label == Category.INFORMATIONAL]


@pytest.fixture
def folder(tmp_path):
    """Datasets with two labelled rows of dev."""
    shutil.copy(DATASETS / "dev.jsonl", tmp_path)
    return tmp_path


def label(folder, *lines):
    (folder / "articles.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_stored_threshold_and_its_figures_are_those_chosen_on_dev_and_calibration():
    chosen = choose_threshold(chosen_on(DATASETS), KnowledgeBase(load_articles()))
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert chosen == stored, "articles, synonyms or labels have changed: store the threshold anew (docs/knowledge.md)"


def test_every_informational_row_of_dev_and_calibration_is_labelled(rows):
    assert {row.row.id for row in load_labelled(DATASETS, Split.DEV)} == {row.id for row in rows}
    calibration = [row.id for row in load_split(DATASETS, Split.CALIBRATION) if row.label == Category.INFORMATIONAL]
    assert [row.row.id for row in load_labelled(DATASETS, Split.CALIBRATION)] == calibration


@pytest.mark.parametrize(
    ("articles", "answer", "worth"),
    [(["a", "b"], "b", 1), ([], None, 1), (["a"], None, 0), (["a"], "c", -1), ([], "c", -1)],
)
def test_a_wrong_answer_is_worse_than_none(articles, answer, worth):
    assert utility(articles, answer) == worth


def test_the_chosen_threshold_is_the_best_of_all(rows):
    kb = KnowledgeBase(load_articles())
    labelled = load_labelled(DATASETS, Split.DEV)[:40]
    chosen = choose_threshold(labelled, kb)

    def mean(threshold):
        hits = [next(iter(kb.rank(row.row.message, limit=1)), None) for row in labelled]
        answers = [hit.article.id if hit and hit.score >= threshold else None for hit in hits]
        return sum(utility(row.articles, answer) for row, answer in zip(labelled, answers, strict=True)) / len(labelled)

    assert mean(chosen["threshold"]) == pytest.approx(chosen["mean_utility"], abs=1e-4)
    assert all(mean(step / 100) <= chosen["mean_utility"] + 1e-4 for step in range(101))
    assert mean(0) == pytest.approx(chosen["mean_utility_if_always_answered"], abs=1e-4)


def test_measures_by_hand(rows):
    def found(number, articles, ranking, answer):
        return Found(LabelledRow(rows[number], tuple(articles)), tuple(ranking), answer)

    given = measures(
        [
            found(0, ["a"], ["a", "b"], "a"),  # right
            found(1, ["a", "b"], ["c", "b"], "c"),  # wrong, the second is right
            found(2, ["a"], ["x", "y", "z", "a"], None),  # abstained though "a" answers; fourth
            found(3, ["a"], [], None),
            found(4, [], ["x"], "x"),  # answered though nothing does
            found(5, [], ["x"], None),  # abstained rightly
        ]
    )
    values = {name: (each["value"], each["n"]) for name, each in given.items()}
    assert values["hit_at_1"] == (1 / 4, 4)
    assert values["hit_at_3"] == (2 / 4, 4)
    assert values["mrr"] == (pytest.approx((1 + 1 / 2 + 1 / 4 + 0) / 4), 4)
    assert values["answer_precision"] == (pytest.approx(1 / 3), 3)
    assert values["abstention_precision"] == (pytest.approx(1 / 3), 3)
    assert values["abstention_recall"] == (1 / 2, 2)
    assert values["utility"] == (pytest.approx((1 - 1 + 0 + 0 - 1 + 1) / 6), 6)
    assert all(each["low"] <= each["value"] <= each["high"] for each in given.values())


def test_rows_without_labels_are_left_out_and_nothing_is_measured_of_none(folder, rows):
    label(folder, json.dumps({"id": rows[0].id, "split": "dev", "articles": []}))
    assert [row.row.id for row in load_labelled(folder, Split.DEV)] == [rows[0].id]
    assert measures([])["hit_at_1"]["value"] is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "m0002", "split": "dev"}', "expected"),
        ("[1]", "expected"),
        ('{"id": "m0002", "split": "dev", "articles": ["no-such"]}', "no article 'no-such'"),
        ('{"id": "m9999", "split": "dev", "articles": []}', "no informational row"),
    ],
)
def test_a_label_that_is_not_valid_is_named_with_file_and_line(folder, rows, line, says):
    label(folder, json.dumps({"id": rows[1].id, "split": "dev", "articles": []}), line)
    with pytest.raises(DataError) as error:
        load_labelled(folder, Split.DEV)
    assert error.value.problems[0].startswith(f"{folder / 'articles.jsonl'}:2: ")
    assert says in error.value.problems[0]


def test_a_row_labelled_twice_is_an_error(folder, rows):
    one = json.dumps({"id": rows[0].id, "split": "dev", "articles": []})
    label(folder, one, one)
    with pytest.raises(DataError, match="twice"):
        load_labelled(folder, Split.DEV)


def test_the_search_beats_plain_bm25_on_dev_and_the_report_shows_all_figures():
    figures = json.loads(json.dumps(retrieval.evaluate(DATASETS)))  # plain JSON
    now, before = figures["splits"]["dev"], figures["before"]["dev"]
    assert now["hit_at_1"]["value"] > before["hit_at_1"]["value"]
    assert now["utility"]["low"] > before["utility"]["value"]
    text = retrieval.render(figures)
    for heading in ("Now, and plain BM25 before", "What each addition brings", "By language and channel", "With the answer taken away"):
        assert heading in text
    assert "| dev | language es |" in text
    assert f"{now['hit_at_1']['value']:.3f} [" in text
