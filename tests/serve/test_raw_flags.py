import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.data import Split, load_split
from orchestrator.safety import red_flags
from serve.limits.raw_flags import SAVED_S, SHARE, Looking, has_red_flag

FLAG = "my throat is closing up since the new tablets"


def body(message, **more):
    return json.dumps({"message": message, "channel": "chat"} | more).encode()


def frozen():
    return 0.0


@pytest.mark.parametrize(
    "raw",
    [
        body(FLAG),
        json.dumps({"message": FLAG}, indent=2).encode(),
        body(f"Hello,\n\n{FLAG}"),
        body(f'she said "{FLAG}"'),
        body("mi niña se comió las gomitas de melatonina"),
        json.dumps({"message": "mi niña se comió las gomitas de melatonina"}, ensure_ascii=False).encode(),
        body("my \U0001d42d\U0001d421\U0001d42b\U0001d428\U0001d41a\U0001d42d is closing up"),  # letters of mathematics, as surrogates
        json.dumps({"message": FLAG}).encode("utf-16"),
        json.dumps({"message": FLAG}).replace(" ", "\\u0020").encode(),
        body("hello", metadata={"message": FLAG}),
        json.dumps({"metadata": {"note": "x" * 30_000}, "message": FLAG}).encode(),
        json.dumps({"messages": [{"message": "hello"}, {"message": FLAG}]}).encode(),
        f'{{"message": "{FLAG}'.encode(),
        f'{{"message": "{FLAG}\\'.encode(),
        FLAG.encode(),
        b"\xff\xff\xff" + FLAG.encode(),
    ],
)  # fmt: skip
def test_a_red_flag_is_seen_however_it_is_written(raw):
    assert has_red_flag(raw, clock=frozen)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"null",
        body("where is my order 5530"),
        body("can it cause swelling of the lips?"),
        body("hello", metadata={"note": FLAG}),
    ],
)
def test_no_other_message_is_taken_for_one(raw):
    assert not has_red_flag(raw, clock=frozen)


def test_two_messages_are_not_read_as_one():
    assert red_flags("my throat is closing up")
    assert not has_red_flag(json.dumps([{"message": "my throat"}, {"message": "is closing up"}]).encode(), clock=frozen)


@given(st.one_of(st.binary(), st.text().map(lambda text: ('{"message":"' + text).encode("utf-8", "surrogatepass")), st.text().map(body)))
@settings(max_examples=50, deadline=None)
def test_it_never_fails(raw):
    assert has_red_flag(raw) in {True, False}


def test_it_says_what_the_red_flags_say_of_every_message_of_dev(root):
    rows = [row.message for row in load_split(root / "datasets", Split.DEV)][:150]
    wrong = [text for text in rows if has_red_flag(body(text), clock=frozen) != bool(red_flags(text))]
    assert wrong == []


def test_a_long_text_is_read_only_as_long_as_there_is_time():
    ticks = iter([0.0, 0.001, 0.003, 0.004])
    long = body("where is my order? " * 100 + FLAG)
    assert has_red_flag(long, clock=frozen)
    assert not has_red_flag(long, clock=lambda: next(ticks))


def test_in_a_flood_looking_takes_its_share_of_the_time_and_no_more():
    now, looked = 0.0, 0

    def look(_):
        nonlocal now, looked
        now, looked = now + 0.001, looked + 1
        return True

    looking = Looking(look, clock=lambda: now)
    assert all(looking(b"") for _ in range(int(SAVED_S / 0.001)))
    seen, looked, began = 0, 0, now
    while now < began + 100:
        seen += looking(b"")
        now += 0.001
    assert looked == seen
    assert looked * 0.001 / (now - began) == pytest.approx(SHARE, rel=0.02)


def test_of_a_whole_batch_the_beginning_is_read():
    raw = json.dumps([{"message": "where is my order"}] * 100_000 + [{"message": FLAG}]).encode()
    assert not has_red_flag(raw, clock=frozen)
