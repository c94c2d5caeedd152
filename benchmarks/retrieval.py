"""How fast the knowledge base is searched, opened and read again: ``python -m benchmarks.retrieval``.

It is compared with plain BM25 as it was before. The messages are the informational rows of dev and calibration.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evals.data import Split, load_splits
from evals.workflows.plain_bm25 import PlainBM25
from orchestrator.knowledge_base import KnowledgeBase, load_articles, packaged_folder
from orchestrator.schema import Category

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 20


def times_ms(search: Callable[[str], object], messages: list[str]) -> list[float]:
    """Return the milliseconds of every search."""
    took = []
    for message in messages * ROUNDS:
        started = time.perf_counter()
        search(message)
        took.append((time.perf_counter() - started) * 1000)
    return took


def once_ms(action: Callable[[], object]) -> float:
    """Return the milliseconds of the fastest of five."""
    took = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        took.append((time.perf_counter() - started) * 1000)
    return min(took)


def main() -> None:
    """Print one line per measurement."""
    rows = load_splits(ROOT / "datasets", (Split.DEV, Split.CALIBRATION))
    messages = [row.message for row in rows if row.label == Category.INFORMATIONAL]
    articles = load_articles()
    print(f"{len(articles)} articles, {len(messages)} messages, {ROUNDS} rounds")
    for name, search in (("now", KnowledgeBase(articles).search), ("plain BM25 before", PlainBM25(articles).rank)):
        took = times_ms(search, messages)
        cold, median, late = max(took[: len(messages)]), float(np.median(took)), float(np.quantile(took, 0.99))
        print(f"search, {name}: p50 {median:.3f} ms, p99 {late:.3f} ms, slowest of the first round {cold:.2f} ms")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(packaged_folder(), Path(name) / "articles"))
        watched = KnowledgeBase.open(folder, check_every_s=0)
        print(f"search that also looks at the folder: p50 {float(np.median(times_ms(watched.search, messages[:20]))):.3f} ms")
        print(f"reading the articles: {once_ms(lambda: load_articles(folder)):.0f} ms")
        print(f"indexing them: {once_ms(lambda: KnowledgeBase(articles)):.0f} ms")
    code = "import time; t = time.perf_counter(); import bm25s; print(round((time.perf_counter() - t) * 1000))"
    taken = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    print(f"importing bm25s: {taken} ms")


if __name__ == "__main__":
    main()
