"""The name of a path in metrics and logs: the template of its route, of which there are few, never the path, which may hold anything."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.routing import Mount, compile_path

UNKNOWN = "unknown"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Routes:
    """The templates of an app. They are looked up by the path alone, as a request may be refused before it is routed."""

    def __init__(self, app: FastAPI) -> None:
        """Learn them from the app's document and its undocumented routes."""
        undocumented = {getattr(route, "path", None): isinstance(route, Mount) for route in app.routes}
        templates = dict.fromkeys(app.openapi().get("paths", {}), False)
        templates |= {template: mount for template, mount in undocumented.items() if template}
        self._exact = frozenset(template for template, mount in templates.items() if not mount and "{" not in template)
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for template, mount in templates.items():
            if mount or "{" in template:
                self._patterns.append((compile_path(f"{template}/{{path:path}}" if mount else template)[0], template))

    def __call__(self, path: str) -> str:
        """Return the template of a path, ``unknown`` where it has none."""
        if path in self._exact:
            return path
        return next((template for pattern, template in self._patterns if pattern.match(path)), UNKNOWN)


def method_of(method: str) -> str:
    """Return the method, ``OTHER`` where it is none that the service knows: a client may send any word."""
    return method if method in METHODS else "OTHER"
