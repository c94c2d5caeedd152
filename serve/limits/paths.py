"""Which requests a limit is for."""

from __future__ import annotations

from starlette.types import Scope


def is_post_below(scope: Scope, paths: tuple[str, ...]) -> bool:
    """Say whether a request is a POST to a path that begins with one of these."""
    return scope["type"] == "http" and scope["method"] == "POST" and str(scope["path"]).startswith(paths)
