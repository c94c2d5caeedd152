"""Run the service and what belongs to it: ``python -m serve [worker | keys | settings]``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from orchestrator.callbacks import callback_settings
from orchestrator.connect import Rollout, open_orchestrator
from orchestrator.engine import Orchestrator
from orchestrator.errors import OrchestratorError
from orchestrator.release import Release, load_release
from orchestrator.resilience import Resilience
from orchestrator.rollout.plan import Challenge, Mode
from orchestrator.store.ledger import default_database
from serve import settings_table
from serve.access import ApiKeys, command
from serve.app import create_app
from serve.configure import load_settings
from serve.limits.bucket import Buckets, TakesTokens
from serve.settings import Settings
from serve.telemetry import Telemetry
from serve.telemetry.logs import Logging, configure_logging
from serve.telemetry.processes import shared_metrics
from serve.working import work_until_stopped

if TYPE_CHECKING:
    from serve.telemetry.traces import Tracing

SECRETS = ("OPENAI_API_KEY", "LLM_API_KEY", "DATABASE_URL", "REDIS_URL", "ORDERS_API_KEY", "WEBHOOK_SECRET")
SHUTDOWN_MARGIN_S = 5  # beyond the longest request, for who is still being answered when the process shall end


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return 2 when the settings, the keys or the champion are not usable."""
    options = _parser().parse_args(arguments)
    options.environment = os.environ
    try:
        return int(options.run(options))
    except OrchestratorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve", description="Serve the promoted champion over HTTP.")
    parser.set_defaults(run=_serve)
    verbs = parser.add_subparsers(title="other verbs", metavar="verb")
    verbs.add_parser("worker", help="work on the queue of jobs in a process of its own").set_defaults(run=_work)
    command.add_verbs(verbs)
    settings_table.add_verbs(verbs)
    return parser


def _serve(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    settings = load_settings(options.environment)
    release = load_release()
    _key_file(settings)
    _configure_logging(settings, options.environment, release)
    print(f"release {release.manifest.id}: {release.manifest.candidate}", flush=True)
    config = uvicorn.Config(
        "serve.__main__:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a forwarded header must not say who a client is
        timeout_graceful_shutdown=int(settings.request_timeout_seconds) + SHUTDOWN_MARGIN_S,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when all is done: that is no failure
        signal.signal(number, lambda *_: None)
    if settings.workers == 1:
        signal.signal(signal.SIGTERM, _end)  # uvicorn hands the signal on once all are answered: an end as it should be, and exit code 0
        uvicorn.Server(config).run()
        return 0
    with shared_metrics(settings.workers):
        Multiprocess(config, sockets=[config.bind_socket()]).run()
    return 0


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def application() -> FastAPI:
    """Return the application of this process, made from its environment."""
    environment = os.environ
    settings, release = load_settings(environment), load_release()
    logs, telemetry = _configure_logging(settings, environment, release), Telemetry()
    return create_app(
        lambda: _settled(_open(settings, environment, release, telemetry)),
        settings,
        telemetry=telemetry,
        keys=_key_file(settings),
        buckets=_buckets(settings, telemetry),
        callbacks=callback_settings(environment, settings.callback_hosts),
        tracing=_tracing(settings, release),
        logs=logs,
    )


def _work(options: argparse.Namespace) -> int:
    """Work on the queue of jobs until stopped."""
    settings = load_settings(dict(options.environment) | {"HOST": "127.0.0.1"})  # a worker answers nobody who needs a key
    release, telemetry = load_release(), Telemetry()
    logs = _configure_logging(settings, options.environment, release)
    working = work_until_stopped(
        _settled(_open(settings, options.environment, release, telemetry)),
        settings,
        telemetry=telemetry,
        callbacks=callback_settings(options.environment, settings.callback_hosts),
        logs=logs,
        host=options.environment.get("HOST") or settings.host,
    )
    uvicorn_loop = uvicorn.Config("serve.__main__:application", loop="uvloop").get_loop_factory()
    with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
        runner.run(working)
    return 0


@asynccontextmanager
async def _settled(opening: AbstractAsyncContextManager[Orchestrator]) -> AsyncIterator[Orchestrator]:
    """Leave all that is there once it is open out of garbage collections: it stays, and going through it would hold all up for 0.1 s."""
    async with opening as opened:
        gc.collect()
        gc.freeze()
        yield opened


def _open(
    settings: Settings, environment: Mapping[str, str], release: Release, telemetry: Telemetry
) -> AbstractAsyncContextManager[Orchestrator]:
    resilience = Resilience(
        timeout_s=settings.llm_timeout_seconds,
        attempts=settings.llm_attempts,
        retry_share=settings.llm_retry_share,
        hedge_s=settings.llm_hedge_seconds,
        breaker_failure_share=settings.breaker_failure_share,
        breaker_min_calls=settings.breaker_min_calls,
        breaker_window_s=settings.breaker_window_seconds,
        breaker_open_s=settings.breaker_open_seconds,
        canary=True,
    ).within(settings.request_timeout_seconds, queue_s=settings.queue_seconds)
    challenger, challenge = settings.challenger_release, None
    if challenger is not None:
        tried = load_release(challenger).manifest.id
        challenge = Challenge(release=tried, mode=Mode(settings.challenger_mode), share=settings.challenger_share)
    return open_orchestrator(
        release,
        environment,
        database_url=settings.database_url or default_database(environment),
        resilience=resilience,
        connections=settings.max_concurrent_requests,
        rollout=Rollout(
            folders=(challenger,) if challenger is not None else (),
            challenge=challenge,
            on_compared=lambda agree, *_: telemetry.compared(agree=agree),
        ),
    )


def _key_file(settings: Settings) -> ApiKeys | None:
    return ApiKeys(settings.api_keys_file) if settings.api_keys_file else None


def _buckets(settings: Settings, telemetry: Telemetry) -> TakesTokens:
    if settings.redis_url is None:
        return Buckets()
    from serve.limits.redis_bucket import RedisBuckets

    buckets = RedisBuckets(settings.redis_url, on_fallback=lambda _: telemetry.limits_lost())
    telemetry.watch("rate_limit_shared", lambda: float(buckets.trouble is None))
    return buckets


def _tracing(settings: Settings, release: Release) -> Tracing | None:
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from serve.telemetry.traces import Tracing

    return Tracing.to(settings.otel_exporter_otlp_endpoint, release.manifest.id)


def _configure_logging(settings: Settings, environment: Mapping[str, str], release: Release) -> Logging:
    secrets = (environment.get(name, "") for name in SECRETS)
    return configure_logging(settings.log_level, settings.log_format, release=release.manifest.id, secrets=secrets)


if __name__ == "__main__":
    sys.exit(main())
