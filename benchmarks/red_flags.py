"""How long the red flags take to read a message: ``python -m benchmarks.red_flags``.

Over the messages of dev, words known already or not yet; and over hostile texts of 20,000 characters. It reads a message in time in
proportion to its length, so twice the text should take about twice as long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.data import Split, load_split
from orchestrator.safety import Matcher, read_rules, red_flags
from orchestrator.safety_text import MAX_CHARS

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
HOSTILE = {
    "one letter": "a",
    "one digit": "7",
    "short words": "a ",
    "negations": "no not never ",
    "the start of phrases": "took gave had ",
    "swollen lips": "swollen lips ",
    "symptoms": "throwing up since pins and needles after ",
    "invisible": "\u200b",
}


def measure(texts: Sequence[str], rounds: int = ROUNDS) -> NDArray[np.float64]:
    """Return milliseconds a text, the best of ``rounds``; shape (texts,)."""
    took = np.empty((rounds, len(texts)))
    for turn in range(rounds):
        for index, text in enumerate(texts):
            started = time.perf_counter()
            red_flags(text)
            took[turn, index] = time.perf_counter() - started
    best: NDArray[np.float64] = took.min(axis=0) * 1000
    return best


def new_words(count: int, seed: int) -> str:
    """Return that many made-up words, each looked up in vain."""
    letters = random.Random(seed)  # noqa: S311  # no secret
    return " ".join("".join(letters.choices("abcdeghilmnoprstuw", k=9)) for _ in range(count))


def main() -> None:
    """Print one line per kind of text."""
    messages = [row.message for row in load_split(ROOT / "datasets", Split.DEV)]
    started = time.perf_counter()
    cold = Matcher(read_rules())
    print(f"compiling the rules  {(time.perf_counter() - started) * 1000:.0f} ms")
    first = []
    for text in messages:
        started = time.perf_counter()
        cold(text)
        first.append((time.perf_counter() - started) * 1000)
    red_flags(" ".join(messages))
    for name, took in (("dev, new words", np.array(first)), ("dev, known words", measure(messages))):
        p50, p99 = np.percentile(took, [50, 99])
        print(f"{name:22} mean {took.mean():.3f}  p50 {p50:.3f}  p99 {p99:.3f}  max {took.max():.3f} ms")
    for name, part in HOSTILE.items():
        whole = (part * (MAX_CHARS // len(part) + 1))[:MAX_CHARS]
        full, half = measure([whole, whole[: MAX_CHARS // 2]])
        print(f"{name:22} {MAX_CHARS:,} characters {full:7.2f} ms, {full / half:.1f} times as long as half of it")
    full, half = (measure([new_words(count, seed=count)], rounds=1)[0] for count in (2000, 1000))  # once: then the words are known
    print(f"{'made-up words':22} {MAX_CHARS:,} characters {full:7.2f} ms, {full / half:.1f} times as long as half of it")


if __name__ == "__main__":
    main()
