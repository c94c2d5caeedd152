"""What the service tells of itself: metrics, logs, traces and timings, and nothing of any message's text."""

from serve.telemetry.metrics import Telemetry

__all__ = ["Telemetry"]
