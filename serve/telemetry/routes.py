"""The name of a path in metrics and logs: the template of its route, of which there are few, never the path, which may hold anything."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path

UNKNOWN = "unknown"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Routes:
    """The templates of an app. They are looked up by the path alone, as a request may be refused before it is routed."""

    def __init__(self, app: FastAPI) -> None:
        """Learn them from the app's routes, those of included routers and pages too."""
        mounts = {route.path for route in app.routes if isinstance(route, Mount)}
        templates = [context.path for context in iter_route_contexts(app.routes) if context.path]
        self._exact = frozenset(template for template in templates if template not in mounts and "{" not in template)
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for template in templates:
            if template in mounts or "{" in template:
                self._patterns.append((compile_path(f"{template}/{{path:path}}" if template in mounts else template)[0], template))

    def __call__(self, path: str) -> str:
        """Return the template of a path, ``unknown`` where it has none."""
        if path in self._exact:
            return path
        return next((template for pattern, template in self._patterns if pattern.match(path)), UNKNOWN)


def method_of(method: str) -> str:
    """Return the method, ``OTHER`` where it is none that the service knows: a client may send any word."""
    return method if method in METHODS else "OTHER"
