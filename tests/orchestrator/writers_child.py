"""``python writers_child.py DATABASE_URL FIRST COUNT THREADS``: write so many numbers from so many threads, when a line comes in."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numbered

from orchestrator.store.ledger import Ledger

url, first, count, threads = sys.argv[1], *map(int, sys.argv[2:])
ledger = Ledger.at(url, os.environ)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as pool:
    for outcome in pool.map(lambda number: numbered.write(ledger, number, f"r{number}"), range(first, first + count)):
        print(outcome.request_id)
ledger.close()
