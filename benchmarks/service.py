"""How long the service workflow takes for one message: ``python -m benchmarks.service``.

The service rows of dev and calibration, each ten times; an order lookup that answers at once, so that it costs nothing. The first call,
which loads the date parser and the medicines, is shown apart. Dates that were read before are remembered, as in a running service; the
last line is without that memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from evals.data import Split, load_splits
from orchestrator.schema import Band, Category, Classification, Decision, Message, Probabilities, Source, Usage
from orchestrator.service import date_values
from orchestrator.service.amounts import find_amounts
from orchestrator.service.dates import find_dates
from orchestrator.service.intents import Intent, IntentFinder, signs_in
from orchestrator.service.language import language_of
from orchestrator.service.medicines import find_medicines
from orchestrator.service.order_numbers import find_order_numbers
from orchestrator.service.orders import LocalOrders
from orchestrator.service.slots import find_slots
from orchestrator.workflows.service_action import ServiceAction

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
REPEATS = 10
NOW = datetime(2026, 11, 25, 12)  # noqa: DTZ001  # local time, as customers mean it
CLASSIFIED = Classification(
    decision=Decision(
        category=Category.SERVICE_ACTION, confidence=0.9, band=Band.HIGH, review_required=False, routed_as_safety=False, path="benchmark"
    ),
    probabilities=Probabilities(informational=0.05, service_action=0.9, safety_compliance=0.05),
    source=Source.LOCAL,
    calibrated=True,
    degraded=False,
    red_flags=(),
    local_safety=0.0,
    usage=Usage(),
)


def main() -> None:
    """Print the median and the 99th percentile of each part, in milliseconds."""
    texts = [row.message for row in load_splits(DATASETS, [Split.DEV, Split.CALIBRATION]) if row.intent is not None]
    started = time.perf_counter()
    workflow = ServiceAction(LocalOrders.packaged())
    opened = time.perf_counter()
    workflow(Message(text="where is order 8812, it was due on tuesday"), CLASSIFIED)
    print(f"open {(opened - started) * 1000:.0f} ms, first call {(time.perf_counter() - opened) * 1000:.0f} ms; {len(texts)} messages")
    intents = IntentFinder.packaged()
    show("signs", signs_in, texts)
    show("intent (signs and model)", intents, texts)
    show("order numbers", lambda text: list(find_order_numbers(text)), texts)
    show("amounts", lambda text: list(find_amounts(text)), texts)
    show("dates", lambda text: list(find_dates(text, NOW, past=False)), texts)
    show("medicines", lambda text: list(find_medicines(text)), texts)
    show("all slots", lambda text: find_slots(text, NOW, Intent.RESCHEDULE), texts)
    show("language", language_of, texts)
    show("whole workflow", lambda text: workflow(Message(text=text), CLASSIFIED), texts)
    show("whole, no date remembered", lambda text: _forgetful(workflow, text), texts)


def show(name: str, call: Callable[[str], object], texts: list[str]) -> None:
    """Print how long ``call`` takes for a text."""
    times = []
    for text in texts * REPEATS:
        started = time.perf_counter()
        call(text)
        times.append((time.perf_counter() - started) * 1000)
    print(f"{name:28} p50 {statistics.median(times):6.2f} ms   p99 {statistics.quantiles(times, n=100)[98]:6.2f} ms", flush=True)


def _forgetful(workflow: ServiceAction, text: str) -> None:
    date_values.forget()
    workflow(Message(text=text), CLASSIFIED)


if __name__ == "__main__":
    main()
