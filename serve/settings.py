"""Settings from the environment; everything has a default."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.schema import Channel


class Settings(BaseSettings):
    """How the service runs. Each field is an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str | None = None  # default: orchestrator.db in DATA_DIR, which is var by default
    max_concurrent_requests: int = Field(default=100, ge=1)
    llm_timeout_seconds: float = Field(default=30.0, gt=0)
    max_chars_chat: int = Field(default=4_000, ge=1)
    max_chars_voice: int = Field(default=10_000, ge=1)
    max_chars_mail: int = Field(default=10_000, ge=1)
    max_body_bytes: int = Field(default=65_536, ge=1)

    def max_chars(self, channel: Channel) -> int:
        """Return the longest message accepted on a channel, in characters."""
        return {
            Channel.CHAT: self.max_chars_chat,
            Channel.VOICE: self.max_chars_voice,
            Channel.MAIL: self.max_chars_mail,
        }[channel]
