import csv
import json

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from support import evals, run_module

from evals.data import IMPORTED, Split, load_split, load_splits
from evals.errors import EvalError
from evals.tables import read_table, write_table
from evals.transfer import COLUMNS, Columns, prepare_import, write_import

MINE = [
    ("The lilac wafers you sent gave our gran a rash all up her shins", "adr", "mail"),
    ("Could somebody ring me, Jo Smith, on 07700 900123 about parcel 7?", "service_action", "chat"),
    ('Do you stock the big tubs\nof aqueous cream, or only the "travel" ones; and at what price?', "informational", "chat"),
]
MAP = ["--map", "adr=safety_compliance"]
GIVEN = ["--text", "body", "--label", "class", "--channel", "via", "--split", "dev"]


def table(path, rows=MINE):
    """Write a user's file in the kind its name says, not by our own writer."""
    records = [{"body": text, "class": label, "via": via} for text, label, via in rows]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["body", "class", "via"])
            writer.writeheader()
            writer.writerows(records)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(records), path)
    else:
        book = openpyxl.Workbook()
        book.active.append(["body", "class", "via"])
        for row in rows:
            book.active.append(list(row))
        book.save(path)
    return path


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_a_users_file_of_every_kind_becomes_rows(workspace, tmp_path, kind, capsys):
    before = load_split(workspace.datasets, Split.DEV)
    assert evals(workspace, "import", str(table(tmp_path / f"mine{kind}")), *GIVEN, *MAP) == 0
    rows = load_split(workspace.datasets, Split.DEV)
    assert rows[: len(before)] == before
    added = rows[len(before) :]
    assert [(row.label.value, row.channel.value) for row in added] == [
        ("safety_compliance", "mail"),
        ("service_action", "chat"),
        ("informational", "chat"),
    ]
    assert added[2].message == MINE[2][0]
    assert all(row.slices == (IMPORTED,) for row in added)
    assert "dev.jsonl" in capsys.readouterr().out
    assert evals(workspace, "validate") == 0


def test_labels_and_channels_are_translated(workspace, tmp_path):
    rows = [
        ("The drops you sent made both my eyes swell up like plums", "adr", "email"),
        ("When is the late shop on the quay shut?", "faq", "phone"),
    ]
    file = str(table(tmp_path / "mine.csv", rows))
    names = ["adr=safety_compliance", "faq=informational", "email=mail", "phone=voice"]
    assert evals(workspace, "import", file, *GIVEN, "--map", *names) == 0
    added = load_split(workspace.datasets, Split.DEV)[-2:]
    assert [(row.label.value, row.channel.value) for row in added] == [("safety_compliance", "mail"), ("informational", "voice")]
    everywhere = [option if option != "via" else "email" for option in GIVEN]
    assert evals(workspace, "import", file, *everywhere, "--map", *names, "--dry-run") == 0


def test_personal_data_are_redacted_unless_told_otherwise(workspace, tmp_path, capsys):
    file = str(table(tmp_path / "mine.csv"))
    assert evals(workspace, "import", file, *GIVEN, *MAP, "--dry-run") == 0
    assert "phone 1" in capsys.readouterr().out
    assert evals(workspace, "import", file, *GIVEN, *MAP) == 0
    assert "900123" not in load_split(workspace.datasets, Split.DEV)[-2].message
    assert evals(workspace, "import", file, *GIVEN, *MAP, "--no-redact") == 0
    assert "900123" in load_split(workspace.datasets, Split.DEV)[-2].message


def test_a_dry_run_says_what_would_happen_and_writes_nothing(workspace, tmp_path, capsys):
    before = (workspace.datasets / "dev.jsonl").read_bytes()
    assert evals(workspace, "import", str(table(tmp_path / "mine.csv")), *GIVEN, *MAP, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "3 rows for dev" in shown
    assert "safety_compliance 1" in shown
    assert "nothing was written" in shown
    assert (workspace.datasets / "dev.jsonl").read_bytes() == before


HEAD = "body,class,via\n"
GOOD_LINE = json.dumps({"body": "x", "class": "informational", "via": "chat"}) + "\n"
BROKEN = [
    (
        "no-such-column.csv",
        "text,class,via\nhi,informational,chat\n",
        [],
        "line 1: there is no column 'body' (--text); the columns are 'text', 'class', 'via'",
    ),
    ("semicolons.csv", "body;class;via\nhi;informational;chat\n", [], "is the delimiter ';'? Say --delimiter"),
    ("label.csv", HEAD + "hi there,adr,chat\n", [], "line 2, column 'class': unknown label 'adr'; use informational,"),
    ("label.csv", HEAD + "hi there,,chat\n", [], "line 2, column 'class': unknown label ''"),
    ("map.csv", HEAD + "hi there,adr,chat\n", ["--map", "adr=harm"], "--map adr=harm: 'harm' is neither a label"),
    (
        "map.csv",
        HEAD + "hi there,adr,chat\n",
        ["--map", "adr=mail"],
        "line 2, column 'class': unknown label 'adr' (--map makes it 'mail'); use informational,",
    ),
    ("map.csv", HEAD + "hi there,adr,chat\n", ["--map", "adr"], "--map adr: write it as OLD=NEW"),
    ("empty.csv", HEAD + '"two\nlines",informational,chat\n  ,informational,chat\n', [], "line 4, column 'body': the message is empty"),
    (
        "channel.csv",
        HEAD + "hi there,informational,fax\n",
        [],
        "line 2, column 'via': unknown channel 'fax'; use chat, voice, mail, or translate it with --map fax=NEW",
    ),
    ("cells.csv", HEAD + "hi, there,informational,chat\n", [], "line 2: 4 cells, but the header has 3 columns"),
    ("quote.csv", HEAD + 'ok then,informational,chat\n"hi" there,informational,chat\n', [], "line 3: "),
    ("nothing.csv", HEAD, [], "there is no row under the header"),
    ("blank.csv", "", [], "the columns are none"),
    ("json.jsonl", GOOD_LINE + "{oops\n", [], "line 2: not JSON"),
    ("list.jsonl", "[1]\n", [], "line 1: list instead of an object"),
    ("number.jsonl", GOOD_LINE.replace('"x"', "7"), [], "line 1, column 'body': a text is expected, not int 7"),
    ("missing.jsonl", GOOD_LINE + GOOD_LINE.replace('"body": "x", ', ""), [], "line 2, column 'body': the message is empty"),
    ("not.parquet", "hello", [], "not a Parquet file"),
    ("not.xlsx", "hello", [], "not an XLSX workbook"),
    ("mine.txt", "hello", [], "files of kind '.txt' cannot be read; save it as .csv, .jsonl, .parquet, .xlsx"),
]


@pytest.mark.parametrize(("name", "content", "options", "words"), BROKEN)
def test_what_is_wrong_with_a_file_is_named_and_nothing_is_written(workspace, tmp_path, name, content, options, words, capsys):
    before = {path.name: path.read_bytes() for path in workspace.datasets.iterdir()}
    (tmp_path / name).write_text(content)
    assert evals(workspace, "import", str(tmp_path / name), *GIVEN, *options) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert name in errors or name == "map.csv"
    assert {path.name: path.read_bytes() for path in workspace.datasets.iterdir()} == before


def test_a_file_that_is_not_there_or_not_utf8_is_named(workspace, tmp_path, capsys):
    assert evals(workspace, "import", str(tmp_path / "gone.csv"), *GIVEN) == 2
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "latin.csv").write_bytes("body,class,via\nhi there,informational,chat\ncafé,informational,chat\n".encode("latin-1"))
    assert evals(workspace, "import", str(tmp_path / "latin.csv"), *GIVEN) == 2
    assert "line 3: byte 0xe9 is not UTF-8; save the file as UTF-8" in capsys.readouterr().err


def test_every_wrong_row_is_named_at_once(workspace, tmp_path, capsys):
    rows = [("first of them", "x", "chat"), ("second of them", "informational", "chat"), ("", "informational", "post")]
    assert evals(workspace, "import", str(table(tmp_path / "mine.xlsx", rows)), *GIVEN) == 2
    errors = capsys.readouterr().err
    assert "row 2, column 'class'" in errors
    assert "row 4, column 'body'" in errors
    assert "row 4, column 'via'" in errors
    assert "3 problem(s)" in errors


def test_a_text_of_another_split_is_refused_or_left_out(workspace, tmp_path, capsys):
    known = next(row for row in load_split(workspace.datasets, Split.GATE) if len(row.message) > 100)
    file = str(table(tmp_path / "mine.csv", [*MINE, (known.message + " thanks", known.label.value, "chat")]))
    assert evals(workspace, "import", file, *GIVEN, *MAP, "--no-redact") == 2
    errors = capsys.readouterr().err
    assert f"as gate row {known.id}" in errors
    assert "--skip-duplicates" in errors
    assert "1 problem(s)" in errors
    count = len(load_split(workspace.datasets, Split.DEV))
    assert evals(workspace, "import", file, *GIVEN, *MAP, "--no-redact", "--skip-duplicates") == 0
    assert len(load_split(workspace.datasets, Split.DEV)) == count + 3


def test_near_duplicates_within_the_split_share_a_seed_and_are_reported(workspace, tmp_path, capsys):
    twins = [*MINE, (MINE[0][0] + " !", "adr", "mail")]
    assert evals(workspace, "import", str(table(tmp_path / "mine.csv", twins)), *GIVEN, *MAP) == 0
    assert "they share a seed" in capsys.readouterr().out
    rows = load_split(workspace.datasets, Split.DEV)
    assert rows[-1].seed_id == rows[-4].seed_id != rows[-2].seed_id
    assert evals(workspace, "validate") == 0


def test_the_robustness_split_takes_no_rows(workspace, tmp_path):
    with pytest.raises(EvalError, match="a suite's seeds need their variants"):
        prepare_import(workspace.datasets, table(tmp_path / "mine.csv"), Split.ROBUSTNESS, Columns("body", "class"))


def test_an_import_that_cannot_be_written_leaves_the_split_as_it_was(workspace, tmp_path, monkeypatch):
    before = (workspace.datasets / "dev.jsonl").read_bytes()
    prepared = prepare_import(
        workspace.datasets, table(tmp_path / "mine.csv"), Split.DEV, Columns("body", "class", "via", {"adr": "safety_compliance"})
    )
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space"):
        write_import(workspace.datasets, prepared)
    assert (workspace.datasets / "dev.jsonl").read_bytes() == before
    assert [path.name for path in workspace.datasets.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_what_is_exported_holds_every_row_and_can_be_imported(workspace, tmp_path, kind):
    file = tmp_path / f"out{kind}"
    assert evals(workspace, "export", str(file), "--split", "gate", "critical") == 0
    rows = load_splits(workspace.datasets, [Split.GATE, Split.CRITICAL])
    columns, cells = read_table(file)
    assert tuple(columns) == COLUMNS
    assert [(c.values["id"], c.values["message"], c.values["label"]) for c in cells] == [(r.id, r.message, r.label.value) for r in rows]
    for split in Split:
        if split not in {Split.DEV, Split.ROBUSTNESS}:
            (workspace.datasets / f"{split.value}.jsonl").write_text("")
    options = ["--text", "message", "--label", "label", "--channel", "channel", "--split", "gate", "--no-redact"]
    assert evals(workspace, "import", str(file), *options) == 0
    assert [row.message for row in load_split(workspace.datasets, Split.GATE)] == [row.message for row in rows]


def test_all_splits_are_exported_where_none_is_named_and_an_unknown_kind_is_refused(workspace, tmp_path, capsys):
    assert evals(workspace, "export", str(tmp_path / "all.jsonl")) == 0
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == len(load_splits(workspace.datasets, Split))
    assert evals(workspace, "export", str(tmp_path / "all.pdf")) == 2
    assert "*.csv, *.jsonl, *.parquet, *.xlsx" in capsys.readouterr().err


@settings(max_examples=40)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_any_text_survives_writing_and_reading(tmp_path_factory, kind, texts):
    file = tmp_path_factory.mktemp("tables") / f"x{kind}"
    write_table(file, ["a", "b"], [{"a": text, "b": "y"} for text in texts])
    assert [cells.values["a"] for cells in read_table(file)[1]] == texts


def test_a_formula_is_text_in_a_workbook_and_a_control_character_is_refused(tmp_path):
    file = tmp_path / "x.xlsx"
    write_table(file, ["a"], [{"a": '=HYPERLINK("http://example.com")'}])
    cell = openpyxl.load_workbook(file).active["A2"]
    assert (cell.data_type, cell.value) == ("s", '=HYPERLINK("http://example.com")')
    with pytest.raises(EvalError, match="row 2: 'a' holds a control character"):
        write_table(file, ["a"], [{"a": "bell\x07"}])
    assert openpyxl.load_workbook(file).active["A2"].value.startswith("=HYPERLINK")


def test_a_line_separator_inside_a_message_survives_an_import_after_it(workspace, tmp_path):
    odd = "first half\u2028second half of a message that came from a word processor"
    assert evals(workspace, "import", str(table(tmp_path / "a.jsonl", [(odd, "informational", "chat")])), *GIVEN) == 0
    assert evals(workspace, "import", str(table(tmp_path / "b.csv")), *GIVEN, *MAP) == 0
    assert load_split(workspace.datasets, Split.DEV)[-4].message == odd


def test_the_verbs_explain_themselves():
    shown = run_module("evals", "import", "--help").stdout
    assert all(option in shown for option in ("--text", "--label", "--map", "--split", "--no-redact", "--dry-run"))
