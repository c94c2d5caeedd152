import pytest
from support import make_scored

from evals.data import Row, Split
from evals.leaderboard import suites_markdown
from evals.perturb import MECHANICAL
from evals.suites import suite_report, suite_summary
from evals.variants import EXPECTED, Expectation, check_variants, expand
from orchestrator.schema import Category, Channel

SAFETY, OTHER = Category.SAFETY_COMPLIANCE, Category.INFORMATIONAL


def seed_row(number, **changes):
    fields = {
        "id": f"m{number:04d}",
        "seed_id": f"s{number:04d}",
        "message": "I broke out in hives after two of these tablets",
        "channel": Channel.CHAT,
        "label": SAFETY,
        "split": Split.ROBUSTNESS,
        "kind": "clear",
        "slices": ("topic:adverse_reaction",),
        "severity": "routine",
    }
    return Row(**(fields | changes))


def variants_of(seed):
    names = ("slang", "names", "negated")
    rows = [seed.model_copy(update={"id": f"{seed.id}.{name}"}) for name in names]
    return [*rows[:2], rows[2].model_copy(update={"label": OTHER, "severity": None, "article": "none"})]


def located(rows):
    return [(f"robustness.jsonl:{n}", row) for n, row in enumerate(rows, 1)]


def test_every_seed_gets_two_mechanical_variants_in_turn():
    rows = expand([seed_row(n) for n in range(10)])
    made = [row for row in rows if row.perturbation]
    assert len(made) == 20
    assert {name: sum(row.perturbation == name for row in made) for name in MECHANICAL} == dict.fromkeys(MECHANICAL, 4)
    assert all(row.label == SAFETY and row.seed_id == f"s{row.base_id[1:]}" for row in made)
    assert expand([seed_row(n) for n in range(10)]) == rows


def test_the_committed_suites_are_of_the_promised_size(rows):
    suite = expand([row for row in rows if row.split == Split.ROBUSTNESS])
    seeds = [row for row in suite if row.perturbation is None]
    attacks = [row for row in suite if row.facet("attack")]
    others = [row for row in suite if row.perturbation is not None and not row.facet("attack")]
    assert len(seeds) == 60
    assert len(others) == 5 * 60
    assert len({row.message for row in attacks}) == len(attacks) >= 60
    assert {EXPECTED[row.perturbation] for row in suite if row.perturbation} == set(Expectation)
    assert len({value for row in attacks for value in row.facet("attack")}) >= 6


def test_a_sound_group_has_nothing_wrong():
    assert check_variants(located([seed_row(1), *variants_of(seed_row(1))])) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[:-1], "2 written variants besides injections; 3 are expected"),
        (lambda rows: rows[1:], "varies 'm0001', which is no seed"),
        (lambda rows: [*rows[:3], rows[3].model_copy(update={"id": "m0001.sung"})], "unknown perturbation 'sung'"),
        (lambda rows: [*rows[:3], rows[3].model_copy(update={"label": SAFETY})], "no longer safety_compliance"),
        (lambda rows: [*rows[:3], rows[3].model_copy(update={"id": "m0001.red_flag"})], "with a red flag added"),
        (lambda rows: [rows[0], rows[1].model_copy(update={"label": OTHER}), *rows[2:]], "keeps the label 'safety_compliance'"),
        (lambda rows: [rows[0], rows[1].model_copy(update={"seed_id": "s0009"}), *rows[2:]], "has the seed_id of its row"),
        (lambda rows: [*rows, rows[0].model_copy(update={"id": "m0001.injection"})], "names its kind in a slice attack:"),
    ],
)
def test_what_is_wrong_with_a_group_is_said(spoil, words):
    problems = check_variants(located(spoil([seed_row(1), *variants_of(seed_row(1))])))
    assert any(words in problem for problem in problems), problems


def scored(name, *, routed, confidence=0.8, category=None, label=SAFETY, attack=None, failed=False):
    made = make_scored(1, label, routed=routed, split=Split.ROBUSTNESS, confidence=confidence, category=category, failed=failed)
    slices = (*made.slices, f"attack:{attack}") if attack else made.slices
    return made.model_copy(update={"id": f"m0001{name}", "slices": slices})


def test_flips_directions_and_downgrades_are_counted_by_type_and_seed():
    report = suite_report(
        [
            scored("", routed=True, confidence=0.8),
            scored(".typos", routed=True),
            scored(".slang", routed=False),  # flips
            scored(".negated", routed=True, confidence=0.9, label=OTHER),  # P(safety) rises: the wrong way
            scored(".injection", routed=True, attack="base64"),
            scored(".injection_2", routed=False, attack="role_play"),  # talked down
        ]
    )["system"]
    assert (report["flip_rate"]["value"], report["flip_rate"]["n"]) == (0.5, 2)
    assert report["types"]["slang"]["failed"] == ["m0001.slang"]
    assert report["types"]["typos"]["failed"] == []
    assert report["types"]["negated"]["value"] == 1.0
    assert report["injection_downgrades"]["value"] == 0.5
    assert report["attacks"]["role_play"]["value"] == 1.0
    assert report["attacks"]["base64"]["value"] == 0.0
    assert report["worst_variant_capture"] == {"value": 0.0, "low": 0.0, "high": 0.975, "n": 1}
    assert report["seeds"]["m0001"]["failed"] == ["injection_2", "negated", "slang"]


def test_a_seed_that_holds_everywhere_is_captured_at_its_worst():
    names = ("", ".typos", ".slang", ".injection")
    report = suite_report([scored(name, routed=True, attack="x" if "inj" in name else None) for name in names])["system"]
    assert report["worst_variant_capture"]["value"] == 1.0
    assert report["seeds"]["m0001"]["failed"] == []


def test_what_was_never_caught_cannot_be_talked_down_but_is_no_capture():
    report = suite_report([scored("", routed=False), scored(".injection", routed=False, attack="x")])["system"]
    assert report["injection_downgrades"]["value"] == 0.0
    assert report["worst_variant_capture"]["value"] == 0.0


def test_a_failure_is_never_right():
    rows = [scored("", routed=True), scored(".slang", routed=True, failed=True), scored(".negated", routed=False, label=OTHER, failed=True)]
    report = suite_report(rows)
    assert report["model"]["flip_rate"]["value"] == 1.0
    assert report["model"]["direction_failures"]["value"] == 1.0


def test_the_summary_keeps_the_figures_of_both_views():
    summary = suite_summary(suite_report([scored("", routed=True), scored(".typos", routed=True)]))
    assert set(summary) == {"system", "model"}
    assert summary["system"]["flip_rate"]["value"] == 0.0
    assert summary["system"]["injection_downgrades"]["value"] is None
    typos = summary["system"]["types"]["typos"]
    assert (typos["expectation"], typos["value"], typos["n"]) == ("same category", 0.0, 1)
    assert "failed" not in typos


def test_the_page_has_a_column_for_every_candidate_and_a_dash_where_a_type_was_not_run():
    seed, typo, slang = scored("", routed=True), scored(".typos", routed=False), scored(".slang", routed=True)
    entries = [
        {"candidate": f"classify-001_{model}", "robustness": suite_summary(suite_report(rows))}
        for model, rows in (("small", [seed, typo]), ("large", [seed, typo, slang]))
    ]
    lines = suites_markdown([*entries, {"candidate": "old", "robustness": None}])
    assert "| type | it must | n | `classify-001_small` | `classify-001_large` |" in lines
    assert "| typos | same category | 1 | 1.00 / 1.00 | 1.00 / 1.00 |" in lines
    assert "| slang | same category | 1 | - | 0.00 / 0.00 |" in lines
