import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.llm import Reply, Token
from orchestrator.probabilities import FLOOR, label_logmass, read_answer
from orchestrator.prompts import Prompt
from orchestrator.schema import CATEGORIES, Failure, FailureKind, Source
from orchestrator.testing import scripted_reply

NAMES = Prompt(id="classify-001", title="t", system="s", max_tokens=16, sha256="0" * 64)
CODES = NAMES.model_copy(update={"codes": dict(zip(CATEGORIES, "ABC", strict=True))})


def token(text: str, *alternatives: tuple[str, float]) -> Token:
    chosen = dict(alternatives).get(text, 1.0)
    return Token(text=text, logprob=math.log(chosen), alternatives=tuple((t, math.log(p)) for t, p in alternatives))


def test_one_token_codes_give_their_probabilities():
    answer = read_answer(scripted_reply({"A": 0.2, "B": 0.1, "C": 0.6}), CODES)
    assert answer.source == Source.LOGPROB
    assert answer.label_mass == pytest.approx(0.9)
    assert answer.probabilities.vector() == pytest.approx([2 / 9, 1 / 9, 6 / 9])


def test_a_quote_in_the_labels_token_and_labels_over_several_tokens():
    tokens = [
        token('{"category":'),
        token(' "s', (' "s', 0.7), (' "inform', 0.2), (' "safety_', 0.05)),
        token("afety_", ("afety_", 0.6), ("ervice", 0.4)),
        token('compliance"}', ('compliance"}', 1.0)),
    ]
    mass = label_logmass(tokens, len('{"category": "'), [c.value for c in CATEGORIES])
    assert mass == pytest.approx([0.2, 0.7 * 0.4, 0.05 + 0.7 * 0.6])


def test_a_longer_token_that_closes_the_quote_counts_for_its_label():
    tokens = [token('{"category":"'), token("A", ("A", 0.5), ('A"', 0.2), ("AB", 0.1), ("C", 0.1), ("", 0.1))]
    assert label_logmass(tokens, len('{"category":"'), ["A", "B", "C"]) == pytest.approx([0.7, 0, 0.1])


def test_the_chosen_token_counts_even_when_the_list_is_too_short_for_it():
    tokens = [token('{"category":"'), Token(text="B", logprob=math.log(0.01), alternatives=(("x", math.log(0.9)),))]
    assert label_logmass(tokens, len('{"category":"'), ["A", "B", "C"]) == pytest.approx([0, 0.01, 0])


def test_missing_labels_get_the_floor():
    answer = read_answer(scripted_reply({"C": 1.0}), CODES)
    assert answer.probabilities.informational == pytest.approx(FLOOR, rel=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '{"category":"D"}',
        '{"category":null}',
        "plain words",
        '{"kategory":"A"}',
        '{"category":"A"',
        '{"category":["A"]}',
    ],
)
def test_what_cannot_be_read_is_a_failure_never_a_guess(text):
    answer = read_answer(Reply(text=text), CODES)
    assert answer.failure is not None
    assert answer.failure.kind == FailureKind.UNPARSABLE


def test_without_logprobs_the_verbalised_distribution_is_taken():
    reply = Reply(text='{"category":"A","probabilities":{"A":0.6,"B":0.3,"C":0.3}}')
    answer = read_answer(reply, CODES)
    assert answer.source == Source.VERBALIZED
    assert answer.probabilities.vector() == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    "numbers", ["null", "{}", '{"A":0,"B":0,"C":0}', '{"A":-1,"B":1,"C":1}', '{"A":true,"B":0,"C":0}', '{"A":"1","B":0,"C":0}']
)
def test_a_distribution_that_is_none_is_a_failure(numbers):
    assert read_answer(Reply(text='{"category":"A","probabilities":' + numbers + "}"), CODES).failure is not None


def test_a_failure_passes_through():
    failure = Failure(kind=FailureKind.TIMEOUT, detail="x")
    assert read_answer(failure, CODES).failure == failure


@given(st.lists(st.floats(min_value=1e-9, max_value=1.0), min_size=3, max_size=3))
def test_probabilities_always_add_up_to_one(shares):
    total = max(sum(shares), 1.0)
    answer = read_answer(scripted_reply(dict(zip("ABC", (s / total for s in shares), strict=True))), CODES)
    assert answer.probabilities.vector().sum() == pytest.approx(1.0)
    assert 0 < answer.label_mass <= 1
