"""The report page: how long it takes to write, how large it is, and how soon a browser shows it: ``python -m benchmarks.page``."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from evals.page import write_page
from evals.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
VISITS = 7
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]


def visit(browser: Browser, url: str) -> tuple[float, float]:
    """Return the seconds until the first paint and until the messages can be browsed, in a fresh context."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    ready: float = page.evaluate("performance.now()")
    painted: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    context.close()
    return painted / 1000, ready / 1000


def main() -> None:
    """Print one line per figure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.html"
        started = time.perf_counter()
        write_page(Workspace(ROOT), path)
        print(f"written in {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            visits = [visit(browser, path.as_uri()) for _ in range(VISITS)]
            browser.close()
    for name, seconds in zip(("first paint", "messages ready"), zip(*visits, strict=True), strict=True):
        print(f"{name} after {statistics.median(seconds):.2f} s (median of {VISITS}; {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
