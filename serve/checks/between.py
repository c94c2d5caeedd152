"""What settings must be to one another."""

from __future__ import annotations

import math
from collections.abc import Iterator

from serve.checks.record import Check
from serve.settings import Settings


def _shared_limits(settings: Settings) -> Iterator[str]:
    if settings.workers > 1 and settings.rate_limit_requests_per_minute and settings.redis_url is None:
        yield (
            f"WORKERS: {settings.workers} processes would each keep rate limits of their own, and a client get {settings.workers} times "
            "its share: set REDIS_URL, or WORKERS=1, or RATE_LIMIT_REQUESTS_PER_MINUTE=0"
        )


def _reserve(settings: Settings) -> Iterator[str]:
    kept = math.ceil(settings.max_concurrent_requests * settings.red_flag_share)
    if kept >= settings.max_concurrent_requests:
        yield (
            f"RED_FLAG_SHARE: {settings.red_flag_share:g} of MAX_CONCURRENT_REQUESTS={settings.max_concurrent_requests} leaves no place "
            "for any other message: lower the one or raise the other"
        )


def _llm_timeout(settings: Settings) -> Iterator[str]:
    # where only the request's deadline was shortened, that is what was meant, and the shorter of the two holds
    if "llm_timeout_seconds" in settings.model_fields_set and settings.llm_timeout_seconds > settings.request_timeout_seconds:
        yield (
            f"LLM_TIMEOUT_SECONDS: {settings.llm_timeout_seconds:g} is never reached, as a request ends after "
            f"REQUEST_TIMEOUT_SECONDS={settings.request_timeout_seconds:g}: lower the one or raise the other"
        )


def _hedge(settings: Settings) -> Iterator[str]:
    if settings.llm_hedge_seconds is not None and settings.llm_hedge_seconds >= settings.llm_timeout_seconds:
        yield (
            f"LLM_HEDGE_SECONDS: {settings.llm_hedge_seconds:g} is not before LLM_TIMEOUT_SECONDS={settings.llm_timeout_seconds:g}, "
            "so nobody would be asked a second time: lower it or unset it"
        )


def _queue(settings: Settings) -> Iterator[str]:
    if settings.queue_seconds >= settings.request_timeout_seconds:
        yield (
            f"QUEUE_SECONDS: whoever waits {settings.queue_seconds:g} s for a place has nothing left of "
            f"REQUEST_TIMEOUT_SECONDS={settings.request_timeout_seconds:g}: lower it"
        )


def _lengths(settings: Settings) -> Iterator[str]:
    for channel in ("chat", "voice", "mail"):
        chars = getattr(settings, f"max_chars_{channel}")
        if chars > settings.max_body_bytes:
            yield f"MAX_CHARS_{channel.upper()}: {chars} characters never fit into MAX_BODY_BYTES={settings.max_body_bytes}: raise that"


def _challenger(settings: Settings) -> Iterator[str]:
    if settings.challenger_share and settings.challenger_release is None:
        yield f"CHALLENGER_SHARE: {settings.challenger_share:g} of the traffic for no release: set CHALLENGER_RELEASE to its folder"


CHECKS = (
    Check(
        (
            "workers",
            "redis_url",
            "rate_limit_requests_per_minute",
        ),
        _shared_limits,
    ),
    Check(
        (
            "max_concurrent_requests",
            "red_flag_share",
        ),
        _reserve,
    ),
    Check(
        (
            "llm_timeout_seconds",
            "request_timeout_seconds",
        ),
        _llm_timeout,
    ),
    Check(
        (
            "llm_hedge_seconds",
            "llm_timeout_seconds",
        ),
        _hedge,
    ),
    Check(
        (
            "queue_seconds",
            "request_timeout_seconds",
        ),
        _queue,
    ),
    Check(
        (
            "max_body_bytes",
            "max_chars_chat",
            "max_chars_voice",
            "max_chars_mail",
        ),
        _lengths,
    ),
    Check(
        (
            "challenger_release",
            "challenger_share",
        ),
        _challenger,
    ),
)
