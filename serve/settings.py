"""Settings from the environment; everything has a default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.safety_text import MAX_CHARS
from orchestrator.schema import Channel


def _listed(value: Any) -> Any:
    """Read a list, written as JSON or with commas."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return tuple(one.strip() for one in value.split(",") if one.strip())
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('it begins like JSON and is none: write ["one", "other"], or one,other') from None


def _origin(value: str) -> str:
    """Return an origin that a browser would send just so."""
    try:
        parts = urlsplit(value)
        whole = f"{parts.scheme}://{parts.netloc}" == value and parts.port != {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # a port that is no number
        whole = False
    if not whole or parts.scheme not in {"http", "https"} or not parts.hostname or "*" in value or "@" in value or value != value.lower():
        raise ValueError("an origin is https://HOST or https://HOST:PORT, each one named, in small letters, without a path")
    return value


Listed = NoDecode, BeforeValidator(_listed)  # NoDecode: else a list that is no JSON would hide all other problems
Origin = Annotated[str, AfterValidator(_origin)]


class Settings(BaseSettings):
    """How the service runs. Each field is an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, allow_inf_nan=False, str_strip_whitespace=True)

    host: str = Field("127.0.0.1", description="address to listen on; anything but loopback needs API keys")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="processes that serve; above 1 rate limits need REDIS_URL")
    database_url: str | None = Field(None, description="database; default: orchestrator.db in DATA_DIR, which is var by default")
    drain_seconds: float = Field(0.0, ge=0, le=600, description="how long SIGTERM keeps serving, not ready, before it stops listening")

    api_keys_file: Path | None = Field(None, description="file of hashed API keys (python -m serve keys); without one nobody is asked")
    allow_no_keys: bool = Field(default=False, description="serve without API keys on other addresses than loopback: only behind what asks")
    cors_origins: Annotated[tuple[Origin, ...], *Listed] = Field(
        (), description="origins whose pages may call, JSON or with commas: https://desk.example; none by default"
    )
    tls_cert_file: Path | None = Field(None, description="certificate chain, PEM, where no proxy ends TLS; with TLS_KEY_FILE")
    tls_key_file: Path | None = Field(None, description="its private key, PEM, without a password")

    max_chars_chat: int = Field(4_000, ge=1, le=MAX_CHARS, description="longest chat message, characters")
    max_chars_voice: int = Field(10_000, ge=1, le=MAX_CHARS, description="longest voice transcript, characters")
    max_chars_mail: int = Field(10_000, ge=1, le=MAX_CHARS, description="longest mail, characters")
    max_body_bytes: int = Field(65_536, ge=1, description="longest body of a request, bytes")
    max_batch_messages: int = Field(1_000, ge=1, description="most messages of a batch")
    max_batch_body_bytes: int = Field(16_777_216, ge=1, description="longest body of a batch, bytes")

    request_timeout_seconds: float = Field(30.0, gt=0, le=600, description="deadline of a request; X-Request-Deadline may shorten it")
    max_concurrent_requests: int = Field(100, ge=1, description="messages under way at once, and connections to the LLM")
    red_flag_share: float = Field(0.2, ge=0, lt=1, description="share of them kept for messages with a red flag")
    queue_size: int = Field(100, ge=0, description="requests that may wait for a place; more are shed")
    queue_seconds: float = Field(1.0, ge=0, description="how long they wait at most")
    rate_limit_requests_per_minute: int = Field(60, ge=0, description="requests a minute and client; 0: no limit")
    rate_limit_burst: int | None = Field(None, ge=1, description="requests a client may make at once; default: those of a minute")
    redis_url: str | None = Field(None, description="Redis that replicas share rate limits in; default: each process its own")

    llm_timeout_seconds: float = Field(30.0, gt=0, description="longest wait for the LLM, retries included")
    llm_attempts: int = Field(2, ge=1, le=5, description="attempts of one call, the first included")
    llm_retry_share: float = Field(0.1, ge=0, le=1, description="retries allowed, as a share of the calls of the last seconds")
    llm_hedge_seconds: float | None = Field(None, gt=0, description="ask a second time when there is no answer by then; default: never")
    breaker_failure_share: float = Field(0.5, gt=0, le=1, description="share of failed calls that opens the breaker")
    breaker_min_calls: int = Field(10, ge=1, description="calls in the window below which it never opens")
    breaker_window_seconds: float = Field(10.0, gt=0, description="length of the rolling window")
    breaker_open_seconds: float = Field(5.0, gt=0, description="how long it stays open before one probe")

    job_concurrency: int = Field(4, ge=0, description="queued messages handled at once in this process; 0: python -m serve worker does")
    worker_port: int | None = Field(None, ge=1, le=65535, description="port of a worker's /health, /ready and /metrics; default: none")
    job_queue_limit: int = Field(100_000, ge=1, description="messages that may wait in the queue; more get 503")
    callback_hosts: Annotated[tuple[str, ...], *Listed] = Field(
        (), description="hosts that may be called back, JSON or with commas: desk.example; none by default"
    )

    challenger_release: Path | None = Field(None, description="folder of a release that runs beside the champion")
    challenger_mode: Literal["shadow", "canary"] = Field("shadow", description="shadow: its answer is compared; canary: it is used")
    challenger_share: float = Field(0.0, ge=0, le=1, description="share of traffic it gets")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="JSON lines, or text for a terminal")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector traces go to (the otel extra)")

    def max_chars(self, channel: Channel) -> int:
        """Return the longest message accepted on a channel, in characters."""
        return {
            Channel.CHAT: self.max_chars_chat,
            Channel.VOICE: self.max_chars_voice,
            Channel.MAIL: self.max_chars_mail,
        }[channel]
