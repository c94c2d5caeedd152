import json
from dataclasses import replace

import pytest
from hostile import GITHUB, HOSTILE, nasty
from hypothesis import given, settings
from support import evals
from verdicts import PROJECT, inconclusive, judged, made, measured, worst

from evals.data import Split
from evals.report.changes import Direction, metrics_of, read_changes
from evals.report.comment import MARKER, comment
from evals.report.comparison_table import comparison_table
from evals.report.files import Difference
from evals.report.judged import Answer
from evals.report.losses import CRITICAL, FLAGGED, INJECTED, MISSED, Loss, read_losses, shown_texts
from evals.report.markup import code, one_line, quoted
from evals.scored import read_outcomes
from orchestrator.schema import Category

WORSE = worst()
FORGETFUL = "classify-002_smollm2-135m"


def told(workspace, *names):
    changes = read_changes(workspace, list(names))
    texts = shown_texts(workspace)
    return comment(changes, {one.candidate: read_losses(workspace, one.judgement, texts) for one in changes.candidates})


def test_a_comment_says_the_verdict_its_reasons_and_what_got_worse():
    text = told(PROJECT, WORSE)
    verdict = json.loads(PROJECT.report(WORSE, "verdict.json").read_text())
    lines = text.splitlines()
    assert lines[0] == MARKER
    assert lines[1] == f"## Gate: {verdict['verdict']} for `{WORSE}`"
    assert f", release `{verdict['release']}`" in lines[3]
    assert all(f"- {reason}" in lines for reason in verdict["reasons"])
    assert sum(line.startswith("| ") for line in lines) == 10, "a head and nine figures"
    for heading, names in (
        (CRITICAL, verdict["checks"]["critical"]["missed"]),
        (INJECTED, verdict["checks"]["injections"]["downgraded"]),
        (MISSED, verdict["paired"]["safety_capture"]["lost"]),
        (FLAGGED, verdict["paired"]["specificity"]["lost"]),
    ):
        assert (f"{heading}: {len(names)}" in text) == bool(names)
        for name in names[:20]:
            (line,) = (line for line in lines if line.startswith(f"- `{name}` ("))
            assert "): now " in line
            assert "; champion " in line
            assert line.endswith(f"<br>{quoted(shown_texts(PROJECT)[name])}")
    assert lines[-1] == f"Get this again: `dvc repro && python -m evals report --format markdown --candidate {WORSE}`"


def test_the_champion_is_named_as_such_and_compared_with_nobody():
    judgement = judged().model_copy(update={"released": True})
    text = comment(made(judgement), {judgement.candidate: {}})
    assert "This is the champion" in text
    assert "| measure | candidate |\n" in text


def test_without_a_champion_there_is_nothing_to_have_lost(evaluated_once):
    text = told(evaluated_once, FORGETFUL)
    assert "without a champion" in text
    assert f"## Gate: FAIL for `{FORGETFUL}`" in text
    assert MISSED not in text
    assert f"{CRITICAL}: " in text


def test_injections_and_critical_items_are_told_with_both_answers():
    mine = {row.id: row for row in read_outcomes(PROJECT.report(WORSE, "outcomes.jsonl"))}
    theirs = {row.id: row for row in read_outcomes(PROJECT.report("champion", "outcomes.jsonl"))}
    attack = next(name for name in mine if name.endswith(".injection"))
    critical = next(name for name, row in mine.items() if row.split == Split.CRITICAL)
    losses = read_losses(PROJECT, told_of(critical=(critical,), injections=(attack,)), shown_texts(PROJECT))
    for heading, name in ((CRITICAL, critical), (INJECTED, attack)):
        (loss,) = losses[heading]
        assert loss.label == "safety_compliance"
        assert loss.candidate.p_safety == mine[name].classification.probabilities.safety
        assert loss.champion.p_safety == theirs[name].classification.probabilities.safety
        assert loss.champion.routed_as_safety == theirs[name].classification.decision.routed_as_safety
        assert loss.text


def told_of(critical=(), injections=()):
    """The worst candidate's verdict, as if it rested on these items."""
    judgement = read_changes(PROJECT, [WORSE]).candidates[0].judgement
    missed = judgement.checks.critical.model_copy(update={"missed": critical})
    downgraded = judgement.checks.injections.model_copy(update={"downgraded": injections})
    checks = judgement.checks.model_copy(update={"critical": missed, "injections": downgraded})
    return judgement.model_copy(update={"checks": checks})


def test_no_text_of_the_sealed_split_is_ever_shown():
    sealed = [json.loads(line) for line in (PROJECT.datasets / "sealed.jsonl").read_text().splitlines()]
    texts = shown_texts(PROJECT)
    assert not {row["id"] for row in sealed} & set(texts)
    row = sealed[0]
    judgement = told_of(critical=(row["id"],))
    text = comment(made(judgement), {WORSE: read_losses(PROJECT, judgement, texts)})
    assert f"- `{row['id']}`: now not on file<br>(the text is not in this dataset)" in text
    assert one_line(row["message"])[:30] not in text


def test_many_candidates_are_summed_up_and_the_leader_is_told_in_detail(capsys):
    assert evals(PROJECT, "report", "--format", "markdown") == 0
    text = capsys.readouterr().out
    board = json.loads((PROJECT.reports / "leaderboard.json").read_text())["candidates"]
    names = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert names == [entry["candidate"] for entry in board]
    leader = next(entry for entry in board if not entry["champion"] and entry["prompt"])
    assert text.count("### ") == 1
    assert f"### {leader['verdict']}: `{leader['candidate']}`" in text


def shape(text):
    """The kinds of tokens of a document, in order, without their contents."""
    return [
        (token.type, tuple((child.type, child.content if "html" in child.type else "") for child in token.children or ()))
        for token in GITHUB.parse(text)
    ]


ONE = judged()


def hostile(text):
    answer = Answer(category=Category.INFORMATIONAL, routed_as_safety=False, p_safety=0.1)
    judgement = ONE.model_copy(update={"reasons": ("critical items missed: m0001", text), "standing": text})
    rows = tuple(
        Loss(name, Category.SAFETY_COMPLIANCE, answer, answer, text) for name in ("m0001", text, *map("m{:04}".format, range(2, 9)))
    )
    return comment(made(judgement), {judgement.candidate: {CRITICAL: rows[:3], FLAGGED: rows}})


@nasty
@settings(deadline=None, max_examples=40)
@given(HOSTILE)
def test_nothing_in_a_text_an_id_or_a_reason_can_break_out_of_the_comment(text):
    benign = shape(hostile("@"))  # what stands in code whatever it is
    plain_too = shape(hostile("words"))  # what may stand as it is where it is harmless
    assert shape(hostile(text or "@")) in (benign, plain_too)


def test_a_comment_is_short_enough_whatever_it_is_of():
    answer = Answer(category=Category.INFORMATIONAL, routed_as_safety=True, p_safety=0.5)
    rows = tuple(Loss(f"m{n:04}", Category.SAFETY_COMPLIANCE, answer, answer, "\U0001f4a5" * 200) for n in range(5000))
    reasons = tuple(f"critical items missed: {', '.join(row.id for row in rows)}" for _ in range(50))
    one = judged()
    many = [one.model_copy(update={"candidate": f"classify-{n:03}_{'model' * 20}", "reasons": reasons}) for n in range(30)]
    for changes in (made(*many), made(*many[:3]), made(many[0])):
        losses = {change.candidate: {CRITICAL: rows, MISSED: rows, FLAGGED: rows} for change in changes.candidates}
        text = comment(changes, losses)
        assert len(text.encode()) < 65_536
        assert text.startswith(MARKER)
        assert "Gate: " in text.splitlines()[1]
        assert "Get this again" in text.splitlines()[-1]
    assert f"{CRITICAL}: 5000" in text, "one candidate is still told of"
    assert "more, by id in `verdict.json`" in text


def test_an_inconclusive_candidate_is_told_what_that_means():
    judgement = inconclusive()
    assert judgement.verdict == "INCONCLUSIVE"
    text = comment(made(judgement), {judgement.candidate: {}})
    assert "## Gate: INCONCLUSIVE" in text
    assert "That blocks promotion" in text
    assert f"- {judgement.reasons[0]}" in text


@pytest.mark.parametrize(
    ("before", "after", "cell"),
    [
        (0.0, 0.0, "| 0 | 0 | none | same |"),
        (0.0, 0.0181, "| 0.0181 | 0 | +0.0181 (from nothing) | **worse** |"),
        (0.02, 0.01, "| 0.01 | 0.02 | -0.01 (-50%) | better |"),
        (0.02, 0.0, "| 0 | 0.02 | -0.02 (-100%) | better |"),
    ],
)
def test_a_change_of_cost_is_told_absolutely_and_as_a_share(before, after, cell):
    change = replace(made(judged()).candidates[0], metrics=metrics_of(measured(usd_per_1000=after), measured(usd_per_1000=before), {}))
    assert f"| USD per 1,000 messages {cell}" in comparison_table(change, with_champion=True)


def test_a_change_is_better_or_worse_only_where_its_interval_excludes_none():
    def direction(**difference):
        metrics = metrics_of(measured(), measured(), {"specificity": Difference(**difference)})
        (found,) = (one for one in metrics if one.figure.name == "over_flag_rate")
        return found.direction, (found.change.low, found.change.high)

    assert direction(difference=0.1, low=0.05, high=0.15) == (Direction.BETTER, (-0.15, -0.05)), "more specificity is less over-flagging"
    assert direction(difference=-0.1, low=-0.15, high=-0.05) == (Direction.WORSE, (0.05, 0.15))
    assert direction(difference=0.1, low=-0.05, high=0.25)[0] == Direction.UNCLEAR
    assert direction(difference=0.0, low=0.0, high=0.0)[0] == Direction.SAME


def test_a_message_without_anything_to_show_is_told_so():
    assert code("\x00\u200b") == "`(empty)`"
