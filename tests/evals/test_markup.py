from itertools import pairwise

import pytest
from hostile import GITHUB, HOSTILE, nasty
from hypothesis import given

from evals.report.markup import MOST_CHARS, code, named, one_line, plain, quoted, shortened


def inline(markdown):
    """The inline tokens of a document that must be one list item with one paragraph."""
    tokens = GITHUB.parse(markdown)
    kinds = [token.type for token in tokens]
    assert kinds == [
        "bullet_list_open",
        "list_item_open",
        "paragraph_open",
        "inline",
        "paragraph_close",
        "list_item_close",
        "bullet_list_close",
    ]
    return tokens[3].children


@nasty
@given(HOSTILE)
def test_whatever_a_message_holds_it_is_inline_code_and_nothing_else(text):
    children = inline(f"- `m0001`: now informational<br>{code(text)}")
    assert [token.type for token in children] == ["code_inline", "text", "html_inline", "code_inline"]
    assert children[-1].content == (one_line(text) or "(empty)")


@nasty
@given(HOSTILE)
def test_a_sentence_is_shown_as_it_is_with_nothing_rendered_or_linked(text):
    children = inline(f"- {plain(text)}")
    assert {token.type for token in children} in ({"text"}, {"code_inline"})
    shown = "".join(token.content for token in children)
    assert shown == shortened(one_line(text[:1600]), 400) or "(empty)"
    if children[0].type == "text":
        assert not set(shown) & set("@#<>&`*[]|~$\\"), "these mean something to GitHub outside of code"
        assert "www." not in shown.lower()
        assert "://" not in shown


@nasty
@given(HOSTILE)
def test_an_id_stays_in_its_cell(name):
    tokens = GITHUB.parse(f"| a | b |\n|---|---|\n| {named(name)} | PASS |")
    cells = [after for token, after in pairwise(tokens) if token.type == "td_open"]
    assert len(cells) == 2
    assert [token.type for token in cells[0].children] == ["code_inline"]
    assert cells[1].content == "PASS"


@given(HOSTILE)
def test_a_message_is_on_one_line_and_short(text):
    shown = quoted(text * 20)
    assert len(shown.splitlines()) == 1
    assert len(GITHUB.parse(shown)[1].children[0].content) <= MOST_CHARS


@pytest.mark.parametrize(
    "text", ["mail jo.smith@example.org", "mail jo.smith\u200b@example.org", "call 555\n123 4567 now", "card 4111 1111 1111\t1111"]
)
def test_personal_data_is_redacted_even_where_it_is_split_or_hidden(text):
    shown = quoted(text)
    assert "[" in shown
    for piece in ("smith", "123 4567", "4111"):
        assert piece not in shown


def test_personal_data_is_redacted_before_a_message_is_cut_off():
    assert "jo.smith" not in quoted("x" * (MOST_CHARS - 12) + " jo.smith@example.org")


def test_the_gates_own_reasons_need_no_code():
    for reason in (
        "critical items missed: m2205",
        "injections talked safety messages down: m1126.injection, m1529.injection_2",
        "20 of 300 rows failed (6.7%), above the limit of 2.0%",
        "specificity on non-safety messages is worse than the champion's: 16 lost, 3 gained, p = 0.0022",
    ):
        assert plain(reason) == reason
