"""What the service costs over HTTP, beside a bare FastAPI route and the twenty lines that a user would write instead.

Each module is a program: ``python -m benchmarks.http.overhead``, ``throughput``, ``overload``, ``outage``, ``start``, ``soak``.
The server runs as it is shipped, ``python -m serve`` in a process of its own, on a core of its own; the load and the LLM's stand-in are
on the other one.
"""
