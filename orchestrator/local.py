"""The embedded LLM: llama.cpp's OpenAI-compatible server in this process, on a loopback port.

It needs no key and no network. The OpenAI client talks to it like to any other server, so there is one
code path. It is meant for running the whole pipeline anywhere, not for production quality.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.catalogue import Model

CONTEXT_TOKENS = 4096  # a few-shot prompt takes ~600; a message of 10,000 characters ~3,000


@contextmanager
def embedded_server(model: Model, *, slots: int = 1) -> Iterator[str]:
    """Serve ``model`` and yield the base URL for an OpenAI client.

    ``slots`` requests are decoded side by side. On two cores one slot is as fast as several and keeps
    the few-shot prefix in one cache (benchmarks/embedded.py), so more pay only on larger machines.

    Raises ``CatalogueError`` when the weights are not there.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model.gguf_path())
    parameters.model_alias = [model.api_id]
    parameters.n_parallel = slots
    parameters.n_ctx = CONTEXT_TOKENS * slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = os.cpu_count() or 1
    parameters.port = 0  # any free port
    parameters.warmup = False
    parameters.verbosity = -1
    parameters.cache_ram_mib = 0  # one shared prefix: a second cache in memory only costs copies
    server = xllamacpp.Server(parameters)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # stops listening and frees the weights
