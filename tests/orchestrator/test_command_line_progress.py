import io

import pytest

from orchestrator.progress import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Seconds:
    """A clock that is one second further each time it is read."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_plain_lines_come_every_fifteen_seconds_and_at_the_end():
    shown = Progress("batch", 20, stream := io.StringIO(), Seconds())
    for _ in range(20):
        shown.advance()
    shown.close()
    assert stream.getvalue() == "batch: 15/20, 1.0/s, 5 s left\nbatch: 20/20, 1.0/s, 0 s left\n"


def test_a_terminal_sees_a_bar_with_rate_and_remaining_time_and_keeps_notes_above_it():
    shown = Progress("batch", 4, stream := Screen(), Seconds())
    shown.advance()
    shown.note("in.csv: line 3: no")
    shown.advance()
    shown.close()
    assert stream.getvalue().split("\r\x1b[K")[2] == "in.csv: line 3: no\n"
    assert "[###############...............] 2/4, 1.0/s, 2 s left" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_what_an_earlier_run_did_counts_as_done_but_not_for_the_rate():
    shown = Progress("batch", 200, stream := io.StringIO(), Seconds())
    for number in range(130):
        shown.advance(before=number < 100)
    assert stream.getvalue().splitlines()[-1] == "batch: 120/200, 1.0/s, 1 min 20 s left"


@pytest.mark.parametrize(("total", "told"), [(30, "15 s left"), (200, "3 min 05 s left"), (9000, "2 h 29 min left")])
def test_the_remaining_time_is_told_in_the_unit_that_fits(total, told):
    shown = Progress("batch", total, stream := io.StringIO(), Seconds())
    for _ in range(15):
        shown.advance()
    assert stream.getvalue().rstrip().endswith(told)
