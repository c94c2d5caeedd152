"""The report page, in a real browser: what the reports say is what one sees, and what one clicks."""

import json
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from support import ROOT

from evals import metrics
from evals.data import Split
from evals.page import write_page
from evals.page.names import short_names
from evals.results import read_board
from evals.scored import read_outcomes
from evals.workspace import Workspace
from orchestrator.schema import Category

CHOSEN = "fused-classify-004_smollm2-135m"
HOSTILE = "</script><script>document.title = 'gone'</script><img src=x onerror=\"document.title = 'gone'\"> {{ 7 * 7 }} & \u2028 rash"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page of the committed reports, built anew."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(Workspace(ROOT), path)
    return path


@pytest.fixture(scope="module")
def hostile(evaluated_once, tmp_path_factory):
    """The page of a project without a champion, one of whose messages would run if it were taken for markup."""
    project = Workspace(shutil.copytree(evaluated_once.root, tmp_path_factory.mktemp("hostile") / "project"))
    path = project.datasets / "gate.jsonl"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | {"message": HOSTILE}), *rest]) + "\n", encoding="utf-8")
    write_page(project, project.root / "index.html")
    return project.root / "index.html"


@pytest.fixture(scope="module", autouse=True)
def _made_first(built, hostile) -> None:
    """Pages are made before the browser opens: asyncio.run cannot be called while Playwright is open."""


@pytest.fixture
def opened(page, built):
    """The page in the browser with its messages loaded. A request to anywhere fails the test."""
    return show(page, built)


def show(page, path):
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    return page


def shown(page):
    while page.locator("#more").is_visible():
        page.click("#more")
    return [name.text_content() for name in page.locator("#list .id").all()]


def choose(page, **filters):
    for name, value in filters.items():
        page.select_option(f"#{name}", value)


def answered(candidate):
    path = ROOT / "reports" / candidate / "outcomes.jsonl"
    return [row for row in read_outcomes(path) if row.split in {Split.GATE, Split.CRITICAL, Split.ROBUSTNESS}]


def test_the_committed_page_is_that_of_the_committed_reports(built):
    assert (ROOT / "reports" / "index.html").read_text(encoding="utf-8") == built.read_text(encoding="utf-8"), "run `dvc repro`"


def test_the_page_is_one_file_below_three_megabytes(built):
    assert built.stat().st_size < 3_000_000
    text = built.read_text(encoding="utf-8")
    assert '<link rel="stylesheet"' not in text
    assert "<script src=" not in text


def test_the_leaderboard_has_every_candidate_with_its_verdict_and_rates(opened):
    board = read_board(Workspace(ROOT))
    lines = [line.inner_text().split("\t") for line in opened.locator("#leaderboard tbody tr").all()]
    titles = [cell.get_attribute("title") for cell in opened.locator("#leaderboard tbody th").all()]
    assert titles == [entry["candidate"] for entry in board["candidates"]]
    for line, entry in zip(lines, board["candidates"], strict=True):
        assert line[1] == entry["verdict"]
        assert line[2].startswith(f"{100 * entry['safety_capture']['value']:.1f} ")
        assert f"[{100 * entry['over_flag_rate']['low']:.1f}, {100 * entry['over_flag_rate']['high']:.1f}]" in line[4]
    champion = next(entry for entry in board["candidates"] if entry["champion"])
    assert champion["verdict"] in opened.locator(".banner h2").inner_text()


def test_every_candidate_has_its_drawings(opened):
    entries = read_board(Workspace(ROOT))["candidates"]
    with_price = [entry for entry in entries if any(step["threshold"]["certified"] for step in entry["price"])]
    for section, count in (("calibration", len(entries)), ("risk", len(entries)), ("price", len(with_price))):
        assert opened.locator(f"#{section} svg").count() == count
    for section, figures in (("leaderboard", 1), ("against", 1), ("slices", 3), ("pairs", 5), ("cost", 2)):
        assert opened.locator(f"#{section} svg").count() == figures
    assert opened.locator("#slices svg").first.is_visible()


def test_a_choice_shows_one_matrix_at_a_time(opened):
    for metric in ("accuracy", "safety_capture", "specificity", "brier", "nll"):
        opened.check(f"input[name=pairs][value={metric}]")
        assert opened.locator("#pairs [data-shown-by=pairs]:visible").get_attribute("data-value") == metric


def test_the_lost_messages_are_one_click_away_with_both_answers(opened):
    verdict = json.loads((ROOT / "reports" / CHOSEN / "verdict.json").read_text())
    for metric in ("safety_capture", "specificity", "accuracy"):
        for change in ("gained", "lost"):
            button = opened.locator(f"[data-candidate='{CHOSEN}'][data-change='{change}-{metric}']")
            names = verdict["paired"][metric][change]
            assert button.inner_text() == f"{len(names)} {change}"
            assert button.is_enabled() == bool(names)
            if names:
                button.click()
                assert sorted(shown(opened)) == sorted(names)
    opened.locator(f"[data-candidate='{CHOSEN}'][data-change='lost-safety_capture']").click()
    opened.keyboard.press("Enter")  # the first of them has the focus
    answers = opened.locator("#list details[open] .answers > div")
    answers.first.wait_for()  # a message is filled in once it is open
    assert [title.inner_text().endswith("(champion)") for title in answers.locator("h3").all()] == [False, True]
    assert answers.first.locator("meter").count() == 3
    name = opened.locator("#list details[open] .id").inner_text()
    row = next(row for row in answered(CHOSEN) if row.id == name)
    assert row.classification.decision.path in answers.first.inner_text()
    assert row.classification.rationale in answers.first.inner_text()


def test_filters_narrow_to_what_they_say(opened):
    rows = answered(CHOSEN)
    choose(opened, candidate=CHOSEN, kind="missed")
    missed = [row.id for row in rows if metrics.is_safety(row) and not metrics.captured(row)]
    assert sorted(shown(opened)) == sorted(missed)
    choose(opened, kind="flagged", split="gate")
    opened.select_option("#label", label="service_action")
    opened.select_option("#slice", label="channel:voice")
    assert sorted(shown(opened)) == sorted(
        row.id
        for row in rows
        if row.split == Split.GATE and row.label == Category.SERVICE_ACTION and row.channel.value == "voice" and metrics.captured(row)
    )
    choose(opened, kind="all", split="", label="", slice="")
    opened.fill("#search", "hives")
    found = shown(opened)
    assert found
    assert all("hives" in text.text_content().lower() for text in opened.locator("#list .text").all())


def test_what_one_sees_can_be_sent_to_somebody(opened, built):
    choose(opened, candidate=CHOSEN, kind="missed", split="critical")
    seen, address = shown(opened), opened.url
    opened.goto("about:blank")
    opened.goto(address)
    opened.wait_for_selector("html[data-ready]")
    assert shown(opened) == seen


def test_the_keyboard_is_enough(opened):
    opened.keyboard.press("/")
    assert opened.evaluate("document.activeElement.id") == "search"
    opened.keyboard.type("refund")
    for key in ("Tab", "j", "ArrowDown", "ArrowUp", "Enter"):  # Tab leads to the first message
        opened.keyboard.press(key)
    assert opened.locator("#list details").nth(1).get_attribute("open") is not None
    opened.keyboard.press("k")
    assert opened.evaluate("document.activeElement.parentElement === document.querySelector('#list details')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    opened.click("#list summary >> nth=0")
    opened.wait_for_selector("#list .answers")
    for summary in opened.locator("#leaderboard summary, .banner summary").all():
        summary.click()
    found = Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()


def test_the_theme_can_be_changed(opened):
    opened.emulate_media(color_scheme="light")
    before = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click("#theme")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_phone_shows_it_without_scrolling_sideways(opened):
    opened.set_viewport_size({"width": 360, "height": 740})
    opened.click("#list summary >> nth=0")
    opened.wait_for_selector("#list .answers")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360


def test_text_of_a_message_is_shown_and_never_run(page, hostile):
    show(page, hostile)
    choose(page, kind="all")
    page.fill("#search", "7 * 7")
    page.click("#list summary")
    assert page.locator("#list blockquote").text_content() == HOSTILE
    assert page.title() == "Evaluation report"
    assert "No champion yet" in page.locator(".banner").inner_text()


def test_names_are_shortened_only_where_they_stay_apart():
    assert short_names(["a_m", "a_m-1"], ["m", "m"]) == {"a_m": "a", "a_m-1": "a-1"}
    assert short_names(["a_m", "a_n"], ["m", "n"]) == {"a_m": "a_m", "a_n": "a_n"}
    assert short_names(["a_m", "a"], ["m", None]) == {"a_m": "a_m", "a": "a"}
