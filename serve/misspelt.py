"""Find variables that look like a setting and are none: a limit that was meant and does not hold is worse than a start refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rapidfuzz.distance import OSA

CHARS_PER_TYPO = 8  # of a name: below, too many names of others are near
MOST_TYPOS = 2
SHORTEST_START = 11  # characters of a name cut short that can only be ours: LLM_TIMEOUT
NOT_OURS = ("OTEL_", "KUBERNETES_", "PIP_", "UV_")  # OpenTelemetry reads many of its own

# What the orchestrator reads itself, which is no misspelling of a setting.
OTHERS = frozenset(
    {
        "AUDIT_SIGNING_KEY", "CHECKPOINTS_DIR", "DATA_DIR", "ENCRYPTION_KEYS", "KEY_FILE", "LLM_API_KEY", "LLM_BASE_URL", "OPENAI_API_KEY",
        "OPENAI_BASE_URL", "ORDERS_API_KEY", "ORDERS_TIMEOUT_S", "ORDERS_URL", "PSEUDONYM_KEY", "RETENTION_DAYS", "WEBHOOK_ALLOW_HTTP",
        "WEBHOOK_PAGING_URL", "WEBHOOK_SECRET", "WEBHOOK_TICKETS_URL", "WEBHOOK_TIMEOUT_S",
    }
)  # fmt: skip


def misspelt(variables: Iterable[str], settings: Collection[str]) -> list[tuple[str, str]]:
    """Return the variables that are none and the setting each is taken for, both in capitals.

    Where that setting is in the environment too, be it empty, the other variable is somebody else's.
    """
    present = {name.upper() for name in variables}
    unknown = sorted(present - set(settings) - OTHERS)
    found = ((name, _meant(name, settings)) for name in unknown if not name.startswith(NOT_OURS))
    return [(name, meant) for name, meant in found if meant and meant not in present]


def _meant(name: str, settings: Collection[str]) -> str | None:
    typos = min(MOST_TYPOS, len(name) // CHARS_PER_TYPO)
    near = min(((OSA.distance(name, one, score_cutoff=typos), one) for one in settings), default=(typos + 1, ""))
    if near[0] <= typos:
        return near[1]
    longer = [one for one in settings if len(name) >= SHORTEST_START and one.startswith(name)]
    return longer[0] if len(longer) == 1 else None
