import json
import re

import numpy as np
import pytest

from orchestrator.errors import ReleaseError
from orchestrator.language import language_of
from orchestrator.next_steps import WITHIN, load_templates, next_step
from orchestrator.safety import load_rules, red_flags
from orchestrator.schema import Band, Category, Classification, Decision, Message, Probabilities, Source, Usage
from orchestrator.severity import MODEL, SEVERITIES, SeverityModel, cheapest, floors, graver, judge, judge_severity, load_model, load_policy
from orchestrator.workflows.safety_compliance import SafetyCompliance

EMERGENCY, URGENT, ROUTINE = SEVERITIES
TO_LIFE = ("airway", "collapse", "overdose", "self_harm", "stroke_heart", "child_poisoning")
STEPS = load_templates().steps


def classified(*flags: str, review: bool = False) -> Classification:
    decision = Decision(
        category=Category.SAFETY_COMPLIANCE, confidence=0.8, band=Band.MODERATE, review_required=review, routed_as_safety=True, path="test"
    )
    return Classification(
        decision=decision,
        probabilities=Probabilities(informational=0.1, service_action=0.1, safety_compliance=0.8),
        source=Source.LOGPROB,
        calibrated=True,
        degraded=False,
        red_flags=flags,
        local_safety=0.5,
        usage=Usage(),
    )


def handled(text: str, *flags: str):
    return SafetyCompliance()(Message(text=text), classified(*flags))


@pytest.mark.parametrize("flag", TO_LIFE)
def test_a_red_flag_for_danger_to_life_is_an_emergency_whatever_the_model_says(flag):
    assert judge_severity("thanks, all fine, just a quick note", (flag,)) == EMERGENCY


@pytest.mark.parametrize("flag", ["withdrawal", "pregnancy", "bleeding", "abuse"])
def test_harm_that_grows_is_urgent_at_least(flag):
    assert judge_severity("thanks, all fine, just a quick note", (flag,)) in {URGENT, EMERGENCY}


@pytest.mark.parametrize(
    "text",
    [
        "she can't breathe after the nut tablets",
        "I was given the wrong tablets and they made me collapse",
        "an ambulance is coming but what do I do now",
    ],
)
def test_plain_emergencies_are_judged_so(text):
    assert judge_severity(text, red_flags(text)) == EMERGENCY


def test_a_judgement_gives_its_reasons_and_the_probabilities():
    judged = judge("she collapsed", ("collapse",))
    assert "collapse" in judged.reasons[0]
    assert "danger to life" in judged.reasons[0]
    assert judged.reasons[-1].startswith("the model: emergency 0.")
    assert sum(judged.probabilities.values()) == pytest.approx(1)
    assert tuple(judged.probabilities) == SEVERITIES


@pytest.mark.parametrize(
    ("probabilities", "severity"),
    [
        ((0.0, 1.0, 0.0), URGENT),
        ((0.0, 0.0, 1.0), ROUTINE),
        ((0.2, 0.5, 0.3), EMERGENCY),
        ((0.05, 0.9, 0.05), URGENT),
        ((0.0, 0.1, 0.9), ROUTINE),
    ],
)
def test_the_least_expected_cost_decides(probabilities, severity):
    assert cheapest(np.array(probabilities), load_policy()) == severity


def test_a_graver_mistake_costs_more():
    costs = load_policy().costs
    assert costs[EMERGENCY][ROUTINE] > costs[EMERGENCY][URGENT] > costs[URGENT][EMERGENCY]
    assert costs[ROUTINE][EMERGENCY] > costs[ROUTINE][URGENT]
    assert graver(ROUTINE, URGENT) == graver(URGENT, ROUTINE) == URGENT


def test_the_rules_name_red_flags_that_exist():
    named = {flag for rule in load_policy().rules for flag in rule.flags} | {flag for step in STEPS for flag in step.flags}
    assert named <= {rule.id for rule in load_rules()}


def test_a_floor_says_what_made_it_apply():
    found = [(rule.id, why) for rule, why in floors("x", ("bleeding", "airway"))]
    assert found == [("harm_that_grows", "bleeding"), ("danger_to_life", "airway")]


@pytest.mark.parametrize(
    "content",
    [
        "costs: {}\nrules: []",
        "costs: {emergency: {emergency: 1, urgent: 1, routine: 1}}\nrules: []",
        (
            "costs: {emergency: {emergency: 0, urgent: 1, routine: 1}, urgent: {emergency: 1, urgent: 0, routine: 0},"
            " routine: {emergency: 1, urgent: 1, routine: 0}}\nrules: []"
        ),
        "- no mapping",
    ],
)
def test_a_policy_that_is_none_is_refused_by_name(tmp_path, content):
    path = tmp_path / "severity.yaml"
    path.write_text(content)
    with pytest.raises(ReleaseError, match=r"severity\.yaml"):
        load_policy(path)


def test_a_missing_model_is_told_with_its_remedy(tmp_path):
    with pytest.raises(ReleaseError, match="train it"):
        SeverityModel.load(tmp_path / "severity.json")


def test_a_red_flag_moves_the_probabilities():
    model, text = load_model(), "please ring me about what happened"
    assert model(text, ("airway",))[EMERGENCY] > model(text, ())[EMERGENCY]
    assert model(text, ("privacy",))[EMERGENCY] < model(text, ())[EMERGENCY]


def test_a_flag_newer_than_the_model_changes_nothing():
    assert load_model()("my tablets", ("of_tomorrow",)) == load_model()("my tablets", ())


@pytest.mark.parametrize("flags", [None, [], {"airway": [0.1]}])
def test_a_model_without_its_weights_of_flags_is_refused_by_name(tmp_path, flags):
    path = tmp_path / "severity.json"
    path.write_text(json.dumps({**json.loads(MODEL.read_text()), "flags": flags}))
    with pytest.raises(ReleaseError, match=r"severity\.json: not a severity model"):
        SeverityModel.load(path)


def test_an_emergency_is_told_to_call_first_and_the_record_is_redacted():
    message = Message(text="can't breathe. Reach me on 07700 900123 or jo@example.org")
    result = SafetyCompliance()(message, classified("airway", review=True))
    record = result.details["compliance"]
    assert "emergency number" in result.next_step.message.split(".")[0]
    assert record["severity"] == "emergency"
    assert record["urgent"]
    assert record["red_flags"] == ["airway"]
    assert any("danger to life" in reason for reason in record["reasons"])
    assert "jo@example.org" not in str(result)
    assert "900123" not in str(result)
    assert record["to_be_confirmed"]


@pytest.mark.parametrize("step", [step for step in STEPS if EMERGENCY in step.severity], ids=lambda step: step.id)
def test_every_emergency_text_gives_the_emergency_numbers_in_its_first_sentences(step):
    for text in (step.en, step.es):
        first = text[: len(text) // 2]
        assert all(number in first for number in ("911", "999", "112"))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_every_text_is_in_its_language_and_names_no_one(step):
    assert language_of(step.en) == "en"
    assert language_of(step.es) == "es"
    assert not re.search(r"[{}<>\n]", step.en + step.es)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_no_text_tells_to_stop_a_medicine_for_good(step):
    assert not re.search(r"(?i)stop taking|do not take any more|deje de tomar|no tome más", step.en + step.es)


@pytest.mark.parametrize(
    ("flags", "action", "parts"),
    [
        (("self_harm",), "crisis_support", ("988", "116 123", "024")),
        (("overdose", "self_harm"), "crisis_support", ("988",)),
        (("child_poisoning",), "poison_control", ("1-800-222-1222", "111", "+34 91 562 04 20")),
        (("overdose",), "poison_control", ("next dose",)),
        (("airway",), "call_emergency_services", ("injector",)),
        (("stroke_heart",), "call_emergency_services", ("do not stop or double",)),
    ],
)
def test_each_danger_gets_its_own_text(flags, action, parts):
    step = handled("please help", *flags).next_step
    assert step.action == action
    assert step.eta_minutes == WITHIN[EMERGENCY]
    assert all(part in step.message for part in parts)


@pytest.mark.parametrize("flag", ["withdrawal", "device_failure"])
def test_where_missing_a_dose_is_the_harm_nobody_is_told_to_wait_with_it(flag):
    assert "next dose" not in next_step("x", URGENT, (flag,)).message


@pytest.mark.parametrize(("severity", "flags"), [(severity, (rule.id,)) for severity in SEVERITIES for rule in load_rules()])
def test_somebody_acts_within_the_time_of_the_severity(severity, flags):
    assert (next_step("x", severity, flags).eta_minutes or 0) <= WITHIN[severity]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me salieron ronchas con la amoxicilina, qué hago", "es"),
        ("mi niña se comió las gomitas", "es"),
        ("I came out in a rash, what do I do", "en"),
        ("ok", "en"),
        ("my abuela took the wrong pills and she is dizzy", "en"),
    ],
)
def test_a_message_is_answered_in_its_language_of(text, expected):
    assert language_of(text) == expected
    urgent = next(step for step in STEPS if step.id == "urgent")
    assert next_step(text, URGENT, ()).message == getattr(urgent, expected)


def test_texts_that_leave_a_severity_out_are_refused_by_name(tmp_path):
    path = tmp_path / "steps.yaml"
    path.write_text("reviewed: 2026-11-26\nsteps: [{id: a, severity: [urgent], action: a, eta_minutes: 5, en: x, es: x}]")
    with pytest.raises(ReleaseError, match=r"steps\.yaml(.|\n)*no text for emergency"):
        load_templates(path)
