"""The page at ``/docs``: the OpenAPI document as plain HTML, so that it needs no script and nothing from another host."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from markupsafe import Markup

from serve.access.headers import DOCS_CSP
from serve.access.openapi import METHODS
from serve.access.rules import RULES, Need, Rules
from serve.client import Scope

STYLE = Path(__file__).with_name("docs_page.css").read_text(encoding="utf-8")
TEMPLATE = Path(__file__).with_name("docs_page.html.jinja").read_text(encoding="utf-8")
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "minItems": "items at least",
    "maxItems": "items at most",
    "pattern": "matches",
}


def add_docs(app: FastAPI, rules: Rules = RULES) -> None:
    """Serve the page at ``/docs``, under a policy that allows its own style and nothing else. The app's own docs must be off."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi(), rules), headers={"content-security-policy": content_security_policy()})


def docs_page(document: dict[str, Any], rules: Rules = RULES) -> str:
    """Return an OpenAPI document as HTML: each operation with what it needs and an example, then the schemas. Everything is escaped."""
    schemas = document.get("components", {}).get("schemas", {})
    operations = [
        _operation(path, method, item[method], schemas, rules)
        for path, item in document.get("paths", {}).items()
        for method in METHODS
        if method in item
    ]
    shown = [_schema(name, schema) for name, schema in sorted(schemas.items())]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    return template.render(info=document.get("info", {}), style=Markup(STYLE), operations=operations, schemas=shown)  # noqa: S704  # nosec B704  # ours


def content_security_policy() -> str:
    """Return the page's policy, which knows its style by the hash."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return DOCS_CSP.format(style=f"'sha256-{digest}'")


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any], rules: Rules) -> dict[str, Any]:
    body = _content(operation.get("requestBody", {}))
    example = _example(body, schemas) if body else None
    return {
        "id": f"{method}-{path.strip('/').replace('/', '-') or 'root'}",
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "needs": _needs(rules.need(path)),
        "parameters": [
            _field(one["name"], one.get("schema", {}), required=one.get("required", False))
            | {"in": one["in"], "description": one.get("description", "")}
            for one in operation.get("parameters", [])
        ],
        "body": _type(body.get("schema", {})) if body else None,
        "example": _curl(path, method, example, rules) if example is not None or not body else None,
        "responses": [
            (status, answer.get("description", ""), _type(_content(answer).get("schema", {})))
            for status, answer in sorted(operation.get("responses", {}).items())
        ],
    }


def _needs(need: Need | Scope) -> str:
    if isinstance(need, Scope):
        return f"an API key with the scope {need.value}"
    return {Need.NOTHING: "no key", Need.OWN_SESSION: "a session of its own", Need.ANY_KEY: "an API key"}[need]


def _content(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the first kind of content of a body or an answer."""
    return next(iter(holder.get("content", {}).values()), {})


def _schema(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    fields = [_field(key, one, required=key in required) for key, one in schema.get("properties", {}).items()]
    return {
        "name": name,
        "description": schema.get("description", ""),
        "fields": fields,
        "type": None if fields else _type({key: value for key, value in schema.items() if key != "title"}),
    }


def _field(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    bounds = [f"{words} {schema[key]}" for key, words in BOUNDS.items() if key in schema]
    default = f"default {json.dumps(schema['default'])}" if "default" in schema else ""
    return {
        "name": name,
        "type": _type(schema),
        "required": required,
        "description": schema.get("description", ""),
        "rules": "; ".join(filter(None, [*bounds, default])),
    }


def _type(schema: dict[str, Any]) -> Markup:
    """Return a schema's type in words, with a link where it has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "enum" in schema or "const" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(json.dumps(one)) for one in schema.get("enum", [schema.get("const")]))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            between = Markup(" and ") if key == "allOf" else Markup(" or ")
            return between.join(_type(one) for one in schema[key])
    if schema.get("type") == "array":
        return Markup("list of {}").format(_type(schema.get("items", {})))
    return Markup("{}").format(schema.get("format") or schema.get("type") or "anything")


def _example(body: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return an example of a body: the one it names, else its fields' own; ``None`` where a field that is required has none."""
    if "example" in body:
        return body["example"]
    schema = body.get("schema", {})
    schema = schemas.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
    if schema.get("examples"):
        return schema["examples"][0]
    made = {name: one["examples"][0] for name, one in schema.get("properties", {}).items() if one.get("examples")}
    return made if made and set(schema.get("required", ())) <= set(made) else None


def _curl(path: str, method: str, body: Any, rules: Rules) -> str:
    lines = [f'curl --request {method.upper()} "$SERVICE_URL{path}"']
    if rules.need(path) not in {Need.NOTHING, Need.OWN_SESSION}:
        lines.append('--header "Authorization: Bearer $API_KEY"')
    if body is not None:
        quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        lines += ["--header 'Content-Type: application/json'", f"--data '{quoted}'"]
    return " \\\n  ".join(lines)
