"""What settings name outside: files, URLs, packages."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from urllib.parse import urlsplit

from orchestrator.errors import OrchestratorError
from orchestrator.store.database import database_url
from serve.access import key_file
from serve.access.key_file import ApiKeysError
from serve.checks.record import Check
from serve.loopback import is_loopback
from serve.settings import Settings

WRITABLE_BY_OTHERS = 0o022


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


def _clients_limits(settings: Settings) -> Iterator[str]:
    """The general rate is looked at elsewhere; here those that single clients have of their own."""
    if settings.workers == 1 or settings.redis_url is not None or settings.rate_limit_requests_per_minute or settings.api_keys_file is None:
        return
    try:
        clients = key_file.read(settings.api_keys_file).clients
    except ApiKeysError:
        return  # told already
    if limited := sum(client.requests_per_minute is not None for client in clients):
        yield (
            f"WORKERS: {settings.workers} processes would each keep limits of their own, and {limited} clients of API_KEYS_FILE have "
            "one: set REDIS_URL, or WORKERS=1"
        )


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


def _redis(settings: Settings) -> Iterator[str]:
    if settings.redis_url is None:
        return
    if _scheme(settings.redis_url) not in {"redis", "rediss", "unix"}:
        yield "REDIS_URL: it is no URL of a Redis: write redis://HOST:PORT/NUMBER, or rediss:// for TLS"
    if not installed("redis"):
        yield "REDIS_URL: set, and the package redis is missing: install the `redis` extra, or unset it"


def _traces(settings: Settings) -> Iterator[str]:
    if settings.otel_exporter_otlp_endpoint is None:
        return
    if _scheme(settings.otel_exporter_otlp_endpoint) not in {"http", "https"}:
        yield "OTEL_EXPORTER_OTLP_ENDPOINT: it is no URL: write http://HOST:4318"
    if not installed("opentelemetry.exporter.otlp.proto.http"):
        yield "OTEL_EXPORTER_OTLP_ENDPOINT: set, and OpenTelemetry is missing: install the `otel` extra, or unset it"


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


def _challenger_there(settings: Settings) -> Iterator[str]:
    release = settings.challenger_release
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


CHECKS = (
    Check(("workers", "redis_url", "rate_limit_requests_per_minute", "api_keys_file"), _clients_limits),
    Check(
        (
            "host",
            "api_keys_file",
            "allow_no_keys",
        ),
        _keys,
    ),
    Check(
        (
            "tls_cert_file",
            "tls_key_file",
        ),
        _tls,
    ),
    Check(("redis_url",), _redis),
    Check(("otel_exporter_otlp_endpoint",), _traces),
    Check(("database_url",), _database),
    Check(("challenger_release",), _challenger_there),
)
