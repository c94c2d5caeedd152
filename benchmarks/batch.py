"""How fast a file of messages goes through ``python -m orchestrator batch``'s machinery: ``python -m benchmarks.batch``.

Messages per second through the promoted champion and a durable SQLite store, with a server in another process that takes 50 ms; and per
second when all of them were recorded by an earlier run. Starting the program is not counted.
"""

from __future__ import annotations

import asyncio
import csv
import os
import tempfile
import time
from pathlib import Path

from benchmarks.upstream import upstream
from orchestrator.batch import Batch
from orchestrator.batch_items import BadRow, Columns, batch_client, read_items
from orchestrator.connect import open_orchestrator
from orchestrator.release import load_release

MESSAGES = 200
SERVICE_S = 0.05


async def rate(file: Path, url: str, concurrency: int, database: str) -> float:
    """Return messages per second through the whole file."""
    environment = os.environ | {"LLM_BASE_URL": url}
    async with open_orchestrator(load_release(), environment, database_url=database, connections=concurrency) as orchestrator:
        batch = Batch(orchestrator.handle, batch_client(file), concurrency)
        items = (item for item in read_items(file, Columns(id="id")) if not isinstance(item, BadRow))
        started = time.perf_counter()
        done = [one async for one in batch.run(items)]
        return len(done) / (time.perf_counter() - started)


def main() -> None:
    """Print a table."""
    print("concurrency  messages/s  allowed by 50 ms  recorded before, messages/s")
    with tempfile.TemporaryDirectory() as folder, upstream(list("ABC"), SERVICE_S) as server:
        file = Path(folder) / "messages.csv"
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([["id", "message"], *[[n, f"where is my parcel, order ORD-{n:06d}"] for n in range(MESSAGES)]])
        for concurrency in (1, 4, 16):
            database = f"sqlite:///{folder}/{concurrency}.db"
            first, again = (asyncio.run(rate(file, f"http://127.0.0.1:{server.port}/v1", concurrency, database)) for _ in range(2))
            print(f"{concurrency:11}  {first:10.1f}  {concurrency / SERVICE_S:16.0f}  {again:27.0f}")


if __name__ == "__main__":
    main()
