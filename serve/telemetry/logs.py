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
from structlog.typing import EventDict, Processor

from serve.telemetry.redaction import Redactor, told_of

OWN = ("orchestrator", "serve", "alembic", "uvicorn")  # they follow the level; uvicorn's and alembic's lines hold nothing of a request
SILENT = frozenset({"uvicorn.access"})  # raw paths and query strings; serve.access has a line for each request
LONGEST_FOREIGN = 300
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "color_message",
}  # what a record has besides a caller's own fields
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
    handler.setFormatter(_Formatter(made, form, secrets))
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


class _Formatter(logging.Formatter):
    """Makes a line of a record. structlog's own formatter copies the record first, which takes a third of all the time a line takes."""

    def __init__(self, made: Logging, form: str, secrets: Iterable[str]) -> None:
        """Render as ``json`` or ``console``, redaction last before that."""
        super().__init__()
        render: Processor = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        self._steps: list[Processor] = [stamp, structlog.contextvars.merge_contextvars, made.add_release, Redactor(secrets), render]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        told: Any = {"event": _event(record), "level": record.levelname.lower(), "logger": record.name}
        told |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            told["raised"] = told_of(record.exc_info[1])
        for step in self._steps:
            told = step(None, record.levelname, told)
        return str(told)


def _event(record: logging.LogRecord) -> str:
    """Return what a record says; of what a library says the first line: asyncio's others show the exception, which quotes its input."""
    said = record.getMessage()
    return said if record.name.startswith(("orchestrator", "serve")) else said.strip().split("\n", 1)[0][:LONGEST_FOREIGN]


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that says that a line could not be made, and not, as the standard one does, what of."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the base class's name
        """Write a constant in the place of the line."""
        self.stream.write(f'{{"level": "error", "event": "a log line could not be written", "logger": "{record.name}"}}\n')


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Hold back what a library logs below WARNING, also where its own switch (OPENAI_LOG) has raised its level."""
    return record.name not in SILENT and (record.levelno >= logging.WARNING or record.name.split(".")[0] in OWN)


def _uncaught(error: BaseException | None) -> None:
    if error is not None:
        _log.critical("uncaught", exc_info=(type(error), error, error.__traceback__))
