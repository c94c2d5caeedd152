"""Run the HTTP service on the promoted champion: ``python -m serve``."""

from __future__ import annotations

import os
import sys
from functools import partial

import uvicorn
from pydantic import ValidationError

from orchestrator.connect import open_orchestrator
from orchestrator.errors import OrchestratorError
from orchestrator.release import load_release
from orchestrator.store.ledger import default_database
from serve.app import create_app
from serve.settings import Settings


def main() -> int:
    """Serve until stopped; return 2 when the settings or the champion are not usable."""
    try:
        settings = Settings()
        release = load_release()
    except (ValidationError, OrchestratorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    opening = partial(
        open_orchestrator,
        release,
        os.environ,
        database_url=settings.database_url or default_database(os.environ),
        deadline_s=settings.llm_timeout_seconds,
        connections=settings.max_concurrent_requests,
    )
    print(f"release {release.manifest.id}: {release.manifest.candidate}")
    uvicorn.run(create_app(opening, settings), host=settings.host, port=settings.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
