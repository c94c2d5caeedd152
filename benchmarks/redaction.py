"""How long redaction takes, per message of ``datasets/dev.jsonl`` and on hostile input: ``python -m benchmarks.redaction``."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from orchestrator.redact import redact

MESSAGES = Path(__file__).resolve().parent.parent / "datasets" / "dev.jsonl"
PASSES, BEST_OF = 5, 5
LENGTHS = (2_500, 5_000, 10_000, 20_000)
# Each is repeated to the length: what a recogniser begins on again and again, and gives up late.
HOSTILE = (
    "1",
    "1 ",
    "12 34 ",
    "07700 ",
    "(212) ",
    "4111-",
    "one ",
    "oh seven seven double ",
    "a",
    "a ",
    "A ",
    "a.",
    "a-",
    "a@",
    "a@b.",
    "@",
    "a at b dot ",
    "gb29 nwbk ",
    "g b 2 9 ",
    "rx number ",
    "order # ",
    "member id is a ",
    "dob ",
    "dob 1 of ",
    "1 street ",
    "1 Hill Park ",
    "calle de la ",
    "Flat 1, ",
    "A1 ",
    "Ab Cd, ",
    "SW1A 1AA ",
    "IL 62704 ",
    "my name is ",
    "Anna ",
    "anna smith ",
    "Dr O. ",
    "Regards\n",
    "Anna\n",
    "\n",
    "'s ",
    "\u0130",
    "\x00",
    "[EMAIL_1]",
    "call me on ",
    "Anna 1/2/1990 ",
    "Xq Ya 07700 900123 ",
    "postcode l s ",
    "name on the account ",
)


def seconds(text: str) -> float:
    """Return the best time of a few passes over a text."""
    times = []
    for _ in range(BEST_OF):
        started = time.perf_counter()
        redact(text)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print milliseconds a message, then the slowest hostile inputs and what doubling their length costs."""
    messages = [json.loads(line)["message"] for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    started = time.perf_counter()
    redact(messages[0] + " 07700 900123, 4111 1111 1111 1111")
    first = time.perf_counter() - started
    times = np.array([min(_timed(message) for _ in range(PASSES)) for message in messages]) * 1e3
    length = np.mean([len(message) for message in messages])
    print(f"first message, word lists and numbering plans read: {first * 1e3:.0f} ms")
    print(f"{len(messages)} messages of {length:.0f} characters on average, milliseconds each, best of {PASSES}:")
    print("mean {:.3f}, p50 {:.3f}, p99 {:.3f}, most {:.3f}".format(times.mean(), *np.percentile(times, [50, 99, 100])))
    found = []
    for unit in HOSTILE:
        taken = [seconds((unit * (length // len(unit) + 1))[:length]) for length in LENGTHS]
        found.append((taken[LENGTHS.index(10_000)], max(b / a for a, b in pairwise(taken)), unit))
    print("| repeated | ms for 10,000 characters | most for twice the length |\n|---|--:|--:|")
    for taken_s, ratio, unit in sorted(found, reverse=True)[:12]:
        print(f"| `{unit!r}` | {taken_s * 1e3:.1f} | x {ratio:.1f} |")
    print(f"steepest of all {len(HOSTILE)}: x {max(ratio for _, ratio, _ in found):.1f}")


def _timed(message: str) -> float:
    started = time.perf_counter()
    redact(message)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
