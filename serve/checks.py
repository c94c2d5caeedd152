"""What settings must be to one another, and to the machine: ``Settings -> problems``, all of them, each with what to do."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator.errors import OrchestratorError
from orchestrator.store.database import database_url
from serve.access import key_file
from serve.access.key_file import ApiKeysError
from serve.loopback import is_loopback
from serve.settings import Settings

WRITABLE_BY_OTHERS = 0o022


class _Check(NamedTuple):
    settings: tuple[str, ...]
    problems: Callable[[Settings], Iterator[str]]


_CHECKS: list[_Check] = []


def _about(*settings: str) -> Callable[[Callable[[Settings], Iterator[str]]], Callable[[Settings], Iterator[str]]]:
    """Make a function a check of these settings."""

    def keep(problems: Callable[[Settings], Iterator[str]]) -> Callable[[Settings], Iterator[str]]:
        _CHECKS.append(_Check(settings, problems))
        return problems

    return keep


def check(settings: Settings, *, unusable: Collection[str] = ()) -> list[str]:
    """Return every problem, each beginning with the variable's name. What is about an ``unusable`` setting is left out: it has one already.

    No value of a URL or a file is repeated: passwords stand in them.
    """
    return [problem for one in _CHECKS if not set(one.settings) & set(unusable) for problem in one.problems(settings)]


@_about("host", "api_keys_file", "allow_no_keys")
def _keys(settings: Settings) -> Iterator[str]:
    if settings.api_keys_file is None:
        if not is_loopback(settings.host) and not settings.allow_no_keys:
            yield (
                f"API_KEYS_FILE: not set, and HOST={settings.host} lets other machines in: make a key with "
                "`API_KEYS_FILE=FILE python -m serve keys add CLIENT --scope classify` and set the variable, "
                "or listen on 127.0.0.1, or set ALLOW_NO_KEYS=true where a proxy asks"
            )
        return
    try:
        usable = key_file.read(settings.api_keys_file).usable(datetime.now(UTC))
    except ApiKeysError as error:
        yield f"API_KEYS_FILE: {error}"
        return
    if not usable:
        yield (
            f"API_KEYS_FILE: {settings.api_keys_file} holds no key that is valid: "
            "`python -m serve keys add CLIENT --scope classify` makes one"
        )
    if settings.api_keys_file.stat().st_mode & WRITABLE_BY_OTHERS:
        yield f"API_KEYS_FILE: others may write {settings.api_keys_file}, and so make keys: chmod 600 it"


@_about("tls_cert_file", "tls_key_file")
def _tls(settings: Settings) -> Iterator[str]:
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        missing, other = ("TLS_CERT_FILE", "TLS_KEY_FILE") if certificate is None else ("TLS_KEY_FILE", "TLS_CERT_FILE")
        yield f"{missing}: not set, and {other} is: set both, or neither where a proxy ends TLS"
        return
    try:
        # a password is asked for on the terminal, where nobody sits: an empty one makes it an error
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")  # nosec B106  # none is meant
    except OSError as error:  # SSLError is one
        reason = error.strerror or type(error).__name__
        yield f"TLS_CERT_FILE: with TLS_KEY_FILE no certificate and its key ({reason}): give both as PEM, readable, without a password"


@_about("workers", "redis_url", "rate_limit_requests_per_minute")
def _shared_limits(settings: Settings) -> Iterator[str]:
    if settings.workers > 1 and settings.rate_limit_requests_per_minute and settings.redis_url is None:
        yield (
            f"WORKERS: {settings.workers} processes would each keep rate limits of their own, and a client get {settings.workers} times "
            "its share: set REDIS_URL, or WORKERS=1, or RATE_LIMIT_REQUESTS_PER_MINUTE=0"
        )


@_about("redis_url")
def _redis(settings: Settings) -> Iterator[str]:
    if settings.redis_url is None:
        return
    if _scheme(settings.redis_url) not in {"redis", "rediss", "unix"}:
        yield "REDIS_URL: it is no URL of a Redis: write redis://HOST:PORT/NUMBER, or rediss:// for TLS"
    if not installed("redis"):
        yield "REDIS_URL: set, and the package redis is missing: install the `redis` extra, or unset it"


@_about("otel_exporter_otlp_endpoint")
def _traces(settings: Settings) -> Iterator[str]:
    if settings.otel_exporter_otlp_endpoint is None:
        return
    if _scheme(settings.otel_exporter_otlp_endpoint) not in {"http", "https"}:
        yield "OTEL_EXPORTER_OTLP_ENDPOINT: it is no URL: write http://HOST:4318"
    if not installed("opentelemetry.exporter.otlp.proto.http"):
        yield "OTEL_EXPORTER_OTLP_ENDPOINT: set, and OpenTelemetry is missing: install the `otel` extra, or unset it"


@_about("database_url")
def _database(settings: Settings) -> Iterator[str]:
    if settings.database_url is None:
        return
    try:
        url = database_url(settings.database_url)
    except (OrchestratorError, ValueError):  # their texts repeat the URL; ValueError: a port that is no number
        yield "DATABASE_URL: it is no URL of a database: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        return
    if url.get_backend_name() == "postgresql" and not installed("psycopg"):
        yield "DATABASE_URL: PostgreSQL needs psycopg: install the `postgres` extra"


@_about("max_concurrent_requests", "red_flag_share")
def _reserve(settings: Settings) -> Iterator[str]:
    kept = math.ceil(settings.max_concurrent_requests * settings.red_flag_share)
    if kept >= settings.max_concurrent_requests:
        yield (
            f"RED_FLAG_SHARE: {settings.red_flag_share:g} of MAX_CONCURRENT_REQUESTS={settings.max_concurrent_requests} leaves no place "
            "for any other message: lower the one or raise the other"
        )


@_about("llm_timeout_seconds", "request_timeout_seconds")
def _llm_timeout(settings: Settings) -> Iterator[str]:
    # where only the request's deadline was shortened, that is what was meant, and the shorter of the two holds
    if "llm_timeout_seconds" in settings.model_fields_set and settings.llm_timeout_seconds > settings.request_timeout_seconds:
        yield (
            f"LLM_TIMEOUT_SECONDS: {settings.llm_timeout_seconds:g} is never reached, as a request ends after "
            f"REQUEST_TIMEOUT_SECONDS={settings.request_timeout_seconds:g}: lower the one or raise the other"
        )


@_about("llm_hedge_seconds", "llm_timeout_seconds")
def _hedge(settings: Settings) -> Iterator[str]:
    if settings.llm_hedge_seconds is not None and settings.llm_hedge_seconds >= settings.llm_timeout_seconds:
        yield (
            f"LLM_HEDGE_SECONDS: {settings.llm_hedge_seconds:g} is not before LLM_TIMEOUT_SECONDS={settings.llm_timeout_seconds:g}, "
            "so nobody would be asked a second time: lower it or unset it"
        )


@_about("queue_seconds", "request_timeout_seconds")
def _queue(settings: Settings) -> Iterator[str]:
    if settings.queue_seconds >= settings.request_timeout_seconds:
        yield (
            f"QUEUE_SECONDS: whoever waits {settings.queue_seconds:g} s for a place has nothing left of "
            f"REQUEST_TIMEOUT_SECONDS={settings.request_timeout_seconds:g}: lower it"
        )


@_about("max_body_bytes", "max_chars_chat", "max_chars_voice", "max_chars_mail")
def _lengths(settings: Settings) -> Iterator[str]:
    for channel in ("chat", "voice", "mail"):
        chars = getattr(settings, f"max_chars_{channel}")
        if chars > settings.max_body_bytes:
            yield f"MAX_CHARS_{channel.upper()}: {chars} characters never fit into MAX_BODY_BYTES={settings.max_body_bytes}: raise that"


@_about("challenger_release", "challenger_share")
def _challenger(settings: Settings) -> Iterator[str]:
    release: Path | None = settings.challenger_release
    if settings.challenger_share and release is None:
        yield f"CHALLENGER_SHARE: {settings.challenger_share:g} of the traffic for no release: set CHALLENGER_RELEASE to its folder"
    if release is not None and not release.is_dir():
        yield f"CHALLENGER_RELEASE: there is no folder {release}: give that of a release, as orchestrator/champion is one"


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a package that it would be in
        return False


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""
