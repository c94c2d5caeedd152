"""What is logged, and what never is."""

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from datetime import UTC, datetime

import pytest
from structlog.contextvars import bound_contextvars

from orchestrator.errors import StoreUnavailableError
from orchestrator.schema import Message
from serve.telemetry.logs import OWN, configure_logging

SAID = "zqxv seventeen purple lanterns"  # a message that no recogniser of personal data finds anything in
MAIL = "jane.doe@example.org"


class Lines(io.StringIO):
    def read_lines(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def last(self):
        return self.read_lines()[-1]


@pytest.fixture
def logged():
    """Lines that are logged at DEBUG; the process's logging is put back afterwards."""
    root, lines = logging.getLogger(), Lines()
    levels = {name: logging.getLogger(name).level for name in ("", *OWN, "openai")}
    before = (root.handlers[:], sys.excepthook, threading.excepthook, sys.unraisablehook)
    with warnings.catch_warnings():
        configure_logging("DEBUG", release="r1", secrets=["hunter2-hunter2"], stream=lines)
        yield lines
    logging.captureWarnings(capture=False)
    root.handlers[:], sys.excepthook, threading.excepthook, sys.unraisablehook = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_every_line_tells_when_how_grave_what_for_which_request_and_of_which_release(logged):
    with bound_contextvars(request_id="id-1"):
        logging.getLogger("orchestrator.store").warning("the relay waits %.0f s", 5)
    line = logged.last()
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {
        "level": "warning", "event": "the relay waits 5 s", "request_id": "id-1", "release": "r1", "logger": "orchestrator.store"
    }  # fmt: skip


def test_personal_data_keys_and_tokens_are_masked_wherever_they_stand(logged):
    log = logging.getLogger("serve.x")
    log.error("of %s", MAIL, extra={"who": {"deep": [MAIL]}, "card": 4111111111111111, MAIL: 1})
    log.error("Authorization: Bearer abcdef123456 sk-proj-abcdefghijk cco_AAAAAAAAAAAA_secretsecretsecret")
    log.error("postgresql://ann:pa55word@db/x and hunter2-hunter2 and api_key='0123456789'")
    text = logged.getvalue()
    for secret in (MAIL, "4111111111111111", "abcdef123456", "abcdefghijk", "secretsecret", "pa55word", "hunter2", "0123456789"):
        assert secret not in text
    assert "[EMAIL]" in text


@pytest.mark.parametrize("name", ["message", "text", "body", "prompt", "headers", "query", "path", "json_data", "rationale"])
def test_what_is_named_as_what_was_said_is_not_logged_at_all(logged, name):
    extra = {"told": {name: SAID}} | ({name: SAID} if name != "message" else {})
    logging.getLogger("serve").error("x", extra=extra)
    assert SAID not in logged.getvalue()
    assert logged.last()["told"] == {name: "[NOT LOGGED]"}


def test_an_object_is_logged_as_its_type(logged):
    logging.getLogger("serve").error("x", extra={"it": Message(text=SAID), "raw": SAID.encode(), "error": ValueError(SAID)})
    assert logged.last()["it"] == "<Message>"
    assert SAID not in logged.getvalue()


def test_of_an_exception_the_type_and_the_stack_are_told_and_of_a_chain_each(logged):
    try:
        try:
            int(SAID)  # a ValueError that quotes its input
        except ValueError as error:
            raise StoreUnavailableError(f"the database does not answer; ask {MAIL}") from error
    except StoreUnavailableError:
        logging.getLogger("serve").exception("failed")
    outer, inner = logged.last()["raised"]
    assert (outer["type"], outer["says"]) == ("StoreUnavailableError", "the database does not answer; ask [EMAIL]")
    assert inner["type"] == "ValueError"
    assert "says" not in inner
    assert "test_logs.py" in inner["stack"][0]
    assert SAID not in logged.getvalue()


@pytest.mark.parametrize("name", ["openai._base_client", "httpx2", "httpcore2.http11", "sqlalchemy.engine.Engine", "urllib3", "asyncio"])
def test_libraries_log_from_warning_on_even_where_their_own_switch_says_debug(logged, name, monkeypatch):
    library = logging.getLogger(name)
    monkeypatch.setattr(library, "disabled", False)  # as other programs in this process may have left it
    for depth in range(1, name.count(".") + 2):  # mlflow's configuration ends the way at sqlalchemy.engine
        monkeypatch.setattr(logging.getLogger(".".join(name.split(".")[:depth])), "propagate", True)
    before = library.level
    library.setLevel(logging.DEBUG)
    try:
        library.debug("Request options: %s", {"json_data": SAID})
        library.info("HTTP Request: POST %s", SAID)
        assert logged.getvalue() == ""
        library.warning("gone")
    finally:
        library.setLevel(before)
    library.warning("gone")
    assert logged.last()["event"] == "gone"


def test_the_server_s_own_access_log_with_its_raw_paths_is_silent(logged):
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", f"/{MAIL}", "1.1", 404)
    assert logged.getvalue() == ""


def test_what_a_task_a_thread_or_a_finaliser_raises_and_nobody_catches_is_logged_without_its_words(logged):
    def fail():
        raise ValueError(SAID)

    class Finalised:
        def __del__(self):
            fail()

    async def forgotten():
        task = asyncio.create_task(asyncio.to_thread(fail))
        await asyncio.wait({task})

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Finalised()
    asyncio.run(forgotten())
    lines = logged.read_lines()
    assert [line["event"] for line in lines] == ["uncaught", "uncaught", "Task exception was never retrieved"]
    assert all(line["raised"][0]["type"] == "ValueError" for line in lines)
    assert SAID not in logged.getvalue()


def test_a_line_that_cannot_be_made_is_told_without_its_arguments(logged, capsys):
    del logging.getLogger().handlers[1:]  # pytest's, which raise
    logging.getLogger("serve").error("%d places", SAID)
    assert logged.last()["event"] == "a log line could not be written"
    assert SAID not in logged.getvalue() + capsys.readouterr().err


def test_a_long_value_is_cut_after_redaction_and_a_deep_one_ends(logged):
    deep = {}
    for _ in range(100):
        deep = {"in": deep}
    logging.getLogger("serve").error("x" * 1995 + " " + MAIL, extra={"deep": deep})
    assert len(logged.last()["event"]) <= 2001
    assert "jane" not in logged.getvalue()


def test_the_release_follows_a_switch(logged):
    made = configure_logging("INFO", release="r1", stream=logged)
    made.release = "r2"
    logging.getLogger("serve").info("x")
    assert logged.last()["release"] == "r2"


def test_a_terminal_gets_text(logged):
    configure_logging("INFO", "console", stream=logged)
    logging.getLogger("serve").info("hello %s", MAIL)
    assert "hello [EMAIL]" in logged.getvalue()
