"""The HTTP shim: limits, telemetry and problem reports around ``orchestrator``."""
