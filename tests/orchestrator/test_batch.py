import asyncio
import csv
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import parquet
from sqlalchemy import text

from orchestrator.__main__ import main
from orchestrator.batch import Batch
from orchestrator.batch_items import Columns, batch_client, read_items, survey
from orchestrator.errors import OrchestratorError, StoreUnavailableError
from orchestrator.store.ledger import Ledger
from orchestrator.table_reading import read_table
from orchestrator.table_writing import writing_table
from orchestrator.testing import scripted_server

SHARES = {"service": {"A": 0.01, "B": 0.98, "C": 0.01}, "danger": {"A": 0.01, "B": 0.01, "C": 0.98}}


def by_first_word(turns):
    return SHARES[turns[-1]["content"].split()[0]]


@pytest.fixture
def database(tmp_path: Path, monkeypatch) -> str:
    """The URL of a database that is not there yet, for the command line."""
    url = f"sqlite:///{tmp_path}/store/orchestrator.db"
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def write_csv(path: Path, rows: list[list[object]], header=("id", "message")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def messages(path: Path, count: int) -> Path:
    return write_csv(path, [[f"m{n}", f"service number {n}, order ORD-{n:06d}"] for n in range(count)])


def answers(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def recorded(url: str, table: str) -> list[str]:
    ledger = Ledger.at(url, os.environ)
    try:
        with ledger.engine.connect() as connection:
            return list(connection.execute(text(f"SELECT request_id FROM {table} ORDER BY request_id")).scalars())
    finally:
        ledger.close()


def tickets_so_far(url: str) -> int:
    """How many tickets another process has written; it may not have made the table yet."""
    try:
        with closing(sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT COUNT(*) FROM tickets").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def run(url: str, *arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_BASE_URL", url)
        return main(["batch", *map(str, arguments)])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_each_message_is_handled_and_answered_in_the_order_of_the_file(tmp_path, database, kind):
    rows = [{"ref": f"r{n}", "body": f"{word} {n}"} for n, word in enumerate(["service", "danger", "service"])]
    file, out = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    with writing_table(file, {"ref": str, "body": str}) as write:
        for row in rows:
            write(row)
    with scripted_server(by_first_word) as url:
        assert run(url, file, "--output", out, "--text", "body", "--id", "ref", "--channel", "mail") == 0
    found = [row.values for row in read_table(out)]
    assert [row["id"] for row in found] == ["r0", "r1", "r2"]
    assert [row["category"] for row in found] == ["service_action", "safety_compliance", "service_action"]
    assert list(found[0]) == ["id", "request_id", "category", "confidence", "band", "review_required", "degraded", "next_action"]
    assert recorded(database, "tickets") == sorted(row["request_id"] for row in found if row["category"] == "service_action")
    assert recorded(database, "compliance_records") == [found[1]["request_id"]]


def test_parquet_keeps_the_types(tmp_path, database):
    out = tmp_path / "out.parquet"
    with scripted_server(by_first_word) as url:
        run(url, messages(tmp_path / "in.csv", 2), "--output", out)
    (row, _) = parquet.read_table(out).to_pylist()
    assert isinstance(row["confidence"], float)
    assert row["degraded"] is False


def test_a_second_run_replays_what_was_recorded(tmp_path, database, capsys):
    file = messages(tmp_path / "in.csv", 5)
    with scripted_server(by_first_word) as url:
        assert run(url, file, "--output", tmp_path / "first.jsonl") == 0
    # The second time there is no LLM at all, and none is needed.
    assert run("http://127.0.0.1:9/v1", file, "--output", tmp_path / "second.jsonl", "--json") == 0
    assert answers(tmp_path / "first.jsonl") == answers(tmp_path / "second.jsonl")
    told = json.loads(capsys.readouterr().out.split("out\n")[-1])
    assert (told["done"], told["before"]) == (5, 5)
    assert len(recorded(database, "tickets")) == 5


def test_a_file_is_the_same_batch_wherever_it_lies_and_another_one_when_it_is_changed_or_renamed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    first = messages(tmp_path / "in.csv", 2)
    assert batch_client(first) == batch_client(messages(tmp_path / "elsewhere" / "in.csv", 2))
    assert len({batch_client(first), batch_client(messages(tmp_path / "other.csv", 2)), batch_client(messages(first, 3))}) == 3
    assert len(batch_client(first)) <= 64


def test_killed_midway_it_goes_on_where_it_stopped_and_does_nothing_twice(tmp_path, database):
    file, out = messages(tmp_path / "in.csv", 40), tmp_path / "out.jsonl"
    killed, asked, turn = threading.Event(), [], itertools.count(1)

    def hanging_after_ten(turns):
        asked.append(turns[-1]["content"])
        if next(turn) > 10:
            killed.wait(60)
        return by_first_word(turns)

    with scripted_server(hanging_after_ten) as url:
        environment = os.environ | {"LLM_BASE_URL": url}
        command = [sys.executable, "-m", "orchestrator", "batch", str(file), "--output", str(out), "--concurrency", "4"]
        process = subprocess.Popen(command, env=environment)
        try:
            while tickets_so_far(database) < 10:
                assert process.poll() is None
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
            killed.set()
        done = recorded(database, "tickets")
        assert 10 <= len(done) < 40
        assert not out.exists()
        again = len(asked)
        assert subprocess.run(command, env=environment, check=False).returncode == 0
    tickets = recorded(database, "tickets")
    assert len(tickets) == 40
    assert set(done) < set(tickets)
    assert sorted(row["request_id"] for row in answers(out)) == tickets
    assert [row["id"] for row in answers(out)] == [f"m{n}" for n in range(40)]
    assert len(asked) - again == 40 - len(done)  # what was recorded is not asked about again
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(tmp_path, database, capsys):
    file, out = messages(tmp_path / "in.csv", 30), tmp_path / "out.jsonl"
    asked, turn = [], itertools.count(1)

    def interrupting(turns):
        asked.append(1)
        if next(turn) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return by_first_word(turns)

    with scripted_server(interrupting) as url:
        assert run(url, file, "--output", out, "--concurrency", 2) == 130
        told = capsys.readouterr().err
        assert "run the same command to go on" in told
        assert not out.exists()
        assert list(tmp_path.glob(".out*")) == []
        done = recorded(database, "tickets")
        assert len(done) == len(asked) < 30  # each that was begun is finished
        assert f"{len(done)} of 30 messages are recorded" in told
        assert run(url, file, "--output", out) == 0
    assert len(recorded(database, "tickets")) == len(asked) == len(answers(out)) == 30


BAD = b"""id,message,channel
a,service one,chat
a,service two,chat
b,,chat
c,service three,fax
d,"service" four,chat
e,service five,chat,more
f,service \xff six,chat
,service seven,
"""


def test_rows_that_cannot_be_handled_are_named_by_line_and_the_others_go_on(tmp_path, database, capsys):
    file, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    file.write_bytes(BAD)
    with scripted_server(by_first_word) as url:
        assert run(url, file, "--output", out) == 1
    told = capsys.readouterr().err
    for line, why in (
        (3, "the id 'a' stands further up already"),
        (4, "the message is empty"),
        (5, "unknown channel 'fax'"),
        (6, "a quoted text ends with a quote"),
        (7, "4 cells under 3 columns"),
        (8, "byte 0xff is not UTF-8"),
    ):
        assert f"{file}: line {line}: " in told
        assert why in told
    assert [row["id"] for row in answers(out)] == ["a", "8"]


def test_strict_does_nothing_when_a_row_is_bad(tmp_path, database, capsys):
    file, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    file.write_bytes(BAD)
    assert run("http://127.0.0.1:9/v1", file, "--output", out, "--strict") == 2
    assert "6 row(s) cannot be handled; nothing was done" in capsys.readouterr().err
    assert not out.exists()
    assert not Path(database.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[1]", "list instead of an object"),
        (b'{"message": 5}', "the message is int 5, not a text"),
        (b'{"text": "x"}', "there is no message"),
        (b'{"message": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_json_line_that_is_no_message_is_told_by_its_line(tmp_path, line, why):
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'\n{"message": "service"}\n' + line + b"\n")
    found = survey(file, Columns())
    assert found.items == 1
    ((place, problem),) = found.bad
    assert place == "line 3"
    assert why in problem


def test_characters_that_no_store_can_hold_are_replaced_and_the_message_is_handled(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"message": "chest\\u0000 pain \\ud800", "customer_id": 7}\n')
    (item,) = read_items(file, survey(file, Columns()).columns)
    assert item.message.text == "chest\N{REPLACEMENT CHARACTER} pain \N{REPLACEMENT CHARACTER}"
    assert item.message.metadata == {"customer_id": "7"}


@pytest.mark.parametrize(
    ("name", "content", "options", "why"),
    [
        ("in.xlsx", "", (), "files of kind '.xlsx' cannot be read"),
        ("in.csv", "", (), "there is no row in it"),
        ("in.csv", "message\n", (), "there is no row in it"),
        ("in.csv", "text\nhello\n", (), "there is no column 'message' (--text); the columns are 'text'"),
        ("in.csv", "message\nhello\n", ("--id", "ref"), "there is no column 'ref' (--id)"),
        ("in.csv", "message\nhello\n", ("--channel", "fax"), "--channel 'fax' is neither a column ('message') nor one of chat"),
        ("in.csv", "message,message\na,b\n", (), "line 1: several columns are called 'message'"),
        ("in.parquet", "no parquet", (), "not a Parquet file"),
        ("in.csv", "message\nhello\n", ("--output", "out.txt"), "files of kind '.txt' cannot be written"),
        ("in.csv", "message\nhello\n", ("--output", "nowhere/out.csv"), "there is no folder nowhere"),
        ("in.csv", "message\nhello\n", ("--output", "in.csv"), "is the file that is read"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(tmp_path, database, monkeypatch, capsys, name, content, options, why):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content)
    assert main(["batch", name, "--output", "out.jsonl", *options]) == 2
    assert why in capsys.readouterr().err
    assert not Path(database.removeprefix("sqlite:///")).exists()
    assert Path(name).read_text() == content


def test_other_options_than_the_first_run_had_are_refused_rather_than_done_twice(tmp_path, database, capsys):
    file = messages(tmp_path / "in.csv", 3)
    with scripted_server(by_first_word) as url:
        assert run(url, file, "--output", tmp_path / "out.csv") == 0
        assert run(url, file, "--output", tmp_path / "out.csv", "--channel", "mail") == 2
    assert "an earlier run of this file took another text, channel or customer here" in capsys.readouterr().err
    assert len(recorded(database, "tickets")) == 3


def test_two_runs_do_not_write_one_output(tmp_path, database):
    out = tmp_path / "out.csv"
    with writing_table(out, {"a": str}) as write:
        write({"a": "1"})
        with pytest.raises(OrchestratorError, match="another process is writing"), writing_table(out, {"a": str}):
            pass
    assert out.read_text() == "a\n1\n"


def test_an_output_that_fails_midway_leaves_the_one_before(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("before")

    def write_until_it_fails() -> None:
        with writing_table(out, {"a": str}) as write:
            write({"a": "1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_until_it_fails()
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


class Flaky:
    """Handles through ``handle``, but the store takes nothing the first ``times`` times."""

    def __init__(self, times: int, handle=None) -> None:
        self.times, self.handle = times, handle

    async def __call__(self, message, *, request_id=None, idempotency=None):
        if self.times > 0:
            self.times -= 1
            raise StoreUnavailableError("the database does not answer")
        return await self.handle(message, request_id=request_id, idempotency=idempotency)


async def collected(batch: Batch, items) -> list:
    return [one async for one in batch.run(items)]


def test_a_store_that_comes_back_is_waited_for(tmp_path, database):
    from orchestrator.connect import open_orchestrator
    from orchestrator.release import load_release

    file, told = messages(tmp_path / "in.csv", 3), []

    async def run_flaky(url: str):
        async with open_orchestrator(load_release(), os.environ | {"LLM_BASE_URL": url}, database_url=database) as orchestrator:
            waits = lambda error, wait_s: told.append(str(error))  # noqa: E731
            batch = Batch(Flaky(2, orchestrator.handle), "batch:x", 1, waits_s=(0.0, 0.0), waiting=waits)
            return await collected(batch, read_items(file, Columns()))

    with scripted_server(by_first_word) as url:
        done = asyncio.run(run_flaky(url))
    assert len(done) == 3
    assert told == ["the database does not answer"] * 2


def test_a_store_that_stays_away_ends_the_batch(tmp_path):
    batch = Batch(Flaky(1000), "batch:x", 2, waits_s=(0.0, 0.0))
    with pytest.raises(StoreUnavailableError):
        asyncio.run(collected(batch, read_items(messages(tmp_path / "in.csv", 30), Columns())))


def test_without_a_database_the_exit_code_says_try_again(tmp_path, capsys):
    file = messages(tmp_path / "in.csv", 3)
    assert main(["--database", "postgresql://127.0.0.1:9/none", "batch", str(file), "--output", str(tmp_path / "out.csv")]) == 3
    assert "the database does not answer" in capsys.readouterr().err


def test_no_more_than_the_given_number_is_under_way_and_rows_are_read_as_they_are_needed(tmp_path):
    under_way, peak, read = 0, 0, 0

    def reading(items):
        nonlocal read
        for item in items:
            read += 1
            yield item

    async def slow(message, *, request_id=None, idempotency=None):
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        raise StoreUnavailableError("enough")

    batch = Batch(slow, "batch:x", 3, waits_s=())
    with pytest.raises(StoreUnavailableError):
        asyncio.run(collected(batch, reading(read_items(messages(tmp_path / "in.csv", 500), Columns()))))
    assert peak == 3
    assert read < 100


def test_a_file_that_is_not_there_is_a_mistake(tmp_path, capsys):
    assert main(["batch", str(tmp_path / "none.csv"), "--output", str(tmp_path / "out.csv")]) == 2
    assert "none.csv cannot be read (No such file or directory)" in capsys.readouterr().err


def test_parquet_without_pyarrow_says_what_to_install_and_csv_needs_none(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as Python has it for a package that cannot be imported
    with pytest.raises(OrchestratorError, match="Parquet needs pyarrow, which is in the `evals` extra"):
        survey(tmp_path / "in.parquet", Columns())
    assert survey(messages(tmp_path / "in.csv", 2), Columns()).items == 2
