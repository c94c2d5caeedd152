import asyncio
import threading
import time

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from serve.access import describe_access
from serve.app import create_app
from serve.docs_page import add_docs, docs_page
from serve.settings import Settings


@pytest.fixture(scope="module")
def document():
    return describe_access(create_app(None, Settings()).openapi())


@pytest.fixture(scope="module")
def address(document):
    """The address of the page of the service's own API."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.openapi = lambda: document
    app.get("/openapi.json")(lambda: JSONResponse(document))
    add_docs(app)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/docs"
    server.should_exit = True
    thread.join()


def test_the_page_is_shown_whole_under_its_own_policy_and_axe_finds_nothing(page, address):
    policy = page.goto(address).headers["content-security-policy"]
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "960px"  # the style was let through
    page.click("text=POST /api/v1/classify")
    page.click("a:has-text('ClassifyRequest')")
    assert page.locator("#schema-ClassifyRequest").is_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_every_operation_and_every_schema_is_on_the_page(document):
    text = docs_page(document)
    for path, item in document["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in text
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text
    assert "Needs an API key with the scope classify." in text
    assert "Needs no key." in text
    assert "I broke out in hives" in text


def test_whatever_a_document_holds_is_text():
    evil = "<script>alert('1')</script>"
    schema = {
        "type": evil,
        "description": evil,
        "enum": [evil],
        "properties": {evil: {"$ref": f"#/x/{evil}", "default": evil, "pattern": evil}},
    }
    operation = {
        "summary": evil, "description": evil, "parameters": [{"name": evil, "in": evil, "schema": {"type": evil}}],
        "requestBody": {"content": {"application/json": {"example": {evil: evil}, "schema": {"anyOf": [{"const": evil}, {}]}}}},
        "responses": {evil: {"description": evil}},
    }  # fmt: skip
    text = docs_page(
        {"info": {"title": evil, "version": evil}, "paths": {f"/{evil}": {"post": operation}}, "components": {"schemas": {evil: schema}}}
    )
    assert "<script" not in text
    assert text.count("&lt;script") > 15
