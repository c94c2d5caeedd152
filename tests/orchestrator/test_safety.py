import time

import pytest

from orchestrator.safety import load_rules, red_flags


@pytest.mark.parametrize("rule", load_rules(), ids=lambda r: r.id)
def test_every_rule_fires_on_its_example(rule):
    assert rule.id in red_flags(rule.example)


@pytest.mark.parametrize(
    "text",
    [
        "no side effects, no rash, no swelling of the lips, just where is my order",
        "can ibuprofen cause swelling of the throat?",
        "what happens if someone took too many vitamin c tablets",
        "What is your refund policy?",
        "I would like to return my reading glasses",
    ],
)
def test_negated_and_hypothetical_mentions_do_not_fire(text):
    assert red_flags(text) == ()


def test_a_negation_ends_with_its_clause():
    assert "airway" in red_flags("no fever, but my lips are swelling")


def test_self_harm_fires_whatever_surrounds_it():
    assert "self_harm" in red_flags("would it matter if I want to die")


@pytest.mark.parametrize("text", ["a" * 100_000, "took " * 20_000, "no " * 30_000 + "rash since", "son " + "x " * 30_000, "since " * 9_000])
def test_long_texts_are_bounded(text):
    started = time.perf_counter()
    red_flags(text)
    assert time.perf_counter() - started < 5  # catastrophic backtracking would take minutes
