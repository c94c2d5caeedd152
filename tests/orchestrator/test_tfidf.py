"""Promises: a text's TF-IDF is what scikit-learn computes, to the last bit, and a service never imports scikit-learn for it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scikit import vectorizer
from sklearn.feature_extraction.text import TfidfVectorizer

from orchestrator.local_classifier import VIEWS, read_view
from orchestrator.release import champion_folder
from orchestrator.tfidf import Corpus

PARAMETERS = json.loads((champion_folder() / "local.json").read_text(encoding="utf-8"))["views"]
OURS = {name: read_view(name, PARAMETERS[name]) for name in VIEWS}
THEIRS = {name: vectorizer(name, PARAMETERS[name]) for name in VIEWS}
LINES = (champion_folder() / "examples.jsonl").read_text(encoding="utf-8").splitlines()
POOL = [json.loads(line)["message"] for line in LINES][:200]


@pytest.mark.parametrize("name", VIEWS)
@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(POOL), max_size=3).map(" ".join))
@example("\u0130 \u017ftraße \U0001f600 a\u0301b \x1c\u2003\x00 x")
def test_a_row_is_that_of_scikit_learn_to_the_last_bit(name, text):
    columns, values = OURS[name](text)
    row = THEIRS[name].transform([text])
    assert np.array_equal(columns, row.indices)
    assert np.array_equal(values, row.data)


def test_cosines_are_those_of_scikit_learn_to_the_last_bit():
    theirs = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    matrix, ours = theirs.fit_transform(POOL), Corpus(POOL)
    for text in [*POOL[:50], "", "no such words qqq", "the the the tablet tablet"]:
        assert np.array_equal(ours(text), matrix @ theirs.transform([text]).toarray()[0])


def test_terms_in_the_order_of_the_text_are_the_same_terms():
    for view in OURS.values():
        for text in ["", *POOL[:20]]:
            columns, weights = view.in_order(text)
            order = np.argsort(columns)
            assert np.array_equal(columns[order], view(text)[0])
            assert np.allclose(weights[order] / (np.linalg.norm(weights) or 1.0), view(text)[1], rtol=1e-12)


def test_what_classifies_imports_no_scikit_learn():
    code = """
import sys
from orchestrator.catalogue import find_model
from orchestrator.prompts import Renderer
from orchestrator.release import load_release
from orchestrator.schema import Message
from orchestrator.service.intents import IntentFinder
from orchestrator.severity import judge_severity

release = load_release()
release.local_classifier()("where is my parcel")
Renderer(release.prompt, find_model(release.manifest.model), release.examples)(Message(text="where is my parcel"))
IntentFinder.packaged()("where is my parcel")
judge_severity("my lips are swollen", ())
print([name for name in ("sklearn", "scipy", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
