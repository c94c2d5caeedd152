"""Logs as one JSON object a line, of the service and of every library, all through the same redaction.

Everybody logs with the standard library; structlog renders. Nothing is configured but by ``configure_logging``, which a program calls once.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from serve.telemetry.redaction import Redactor, told_of

OWN = ("orchestrator", "serve", "alembic", "uvicorn")  # they follow the level; uvicorn's and alembic's lines hold nothing of a request
SILENT = frozenset({"uvicorn.access"})  # raw paths and query strings; serve.access has a line for each request
LONGEST_FOREIGN = 300
_log = logging.getLogger("serve")


class Logging:
    """What every line tells besides its event; ``release`` may change while the service runs."""

    def __init__(self, release: str | None) -> None:
        """Tell ``release`` on every line."""
        self.release = release

    def add_release(self, _logger: Any, _method: str, line: EventDict) -> EventDict:
        """Add the release, unless the line tells another: that of the answer."""
        line.setdefault("release", self.release)
        return line


def configure_logging(
    level: str, form: str = "json", *, release: str | None = None, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> Logging:
    """Send all logs of ``level`` and above to ``stream`` (stderr), as ``json`` or, for a terminal, ``console``.

    Other people's libraries log from WARNING on, whatever the level: at DEBUG clients of HTTP and of LLMs log whole bodies.
    ``secrets`` are masked wherever they stand. What nobody catches, in whichever thread, is logged as well.
    """
    made = Logging(release)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(made, form, secrets))
    handler.addFilter(_may_be_logged)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OWN:
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.INFO if name == "uvicorn" else logging.DEBUG))
    logging.captureWarnings(capture=True)
    warnings.simplefilter("ignore", ResourceWarning)  # their text shows the object, whose text nobody has looked at
    sys.excepthook = lambda kind, error, trace: _log.critical("uncaught", exc_info=(kind, error, trace))
    threading.excepthook = lambda caught: _uncaught(caught.exc_value)
    sys.unraisablehook = lambda caught: _uncaught(caught.exc_value)
    return made


def _formatter(made: Logging, form: str, secrets: Iterable[str]) -> ProcessorFormatter:
    before: list[Processor] = [
        _first_line,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        made.add_release,
        _raised,
        ProcessorFormatter.remove_processors_meta,
    ]
    render: Processor = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    return ProcessorFormatter(processors=[*before, Redactor(secrets), render])


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that says that a line could not be made, and not, as the standard one does, what of."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Write a constant in the place of the line."""
        self.stream.write(f'{{"level": "error", "event": "a log line could not be written", "logger": "{record.name}"}}\n')


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Hold back what a library logs below WARNING, also where its own switch (OPENAI_LOG) has raised its level."""
    return record.name not in SILENT and (record.levelno >= logging.WARNING or record.name.split(".")[0] in OWN)


def _first_line(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Cut what a library says to its first line: asyncio's further ones show the exception, which quotes what it could not handle."""
    record: logging.LogRecord = line["_record"]
    if not record.name.startswith(("orchestrator", "serve")):
        line["event"] = line["event"].strip().split("\n", 1)[0][:LONGEST_FOREIGN]
    return line


def _raised(_logger: Any, _method: str, line: EventDict) -> EventDict:
    line.pop("stack_info", None)
    raised = line.pop("exc_info", None)
    if isinstance(raised, tuple) and raised[1] is not None:
        line["raised"] = told_of(raised[1])
    return line


def _uncaught(error: BaseException | None) -> None:
    if error is not None:
        _log.critical("uncaught", exc_info=(type(error), error, error.__traceback__))
