"""Whatever is sent, on either database: never a 5xx, every error a problem with the request's id, and nothing of what was sent in it."""

import asyncio
import json
import os
import re
import socket
from contextlib import ExitStack
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st
from support import postgres_database
from whole_service import in_process, on_a_socket, whole_app

from serve.routes.classify import MAX_METADATA_DEPTH

URL, BATCH = "/api/v1/classify", "/api/v1/classify/batch"
JSON = {"content-type": "application/json"}
SEED = 20_260_314
EXAMPLES = int(os.environ.get("BAD_INPUT_EXAMPLES", "6"))
PLANTED = "zqxj-rash-0707"  # planted into what is sent; no answer may repeat it
few = settings(
    max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(request, tmp_path_factory, key_file):
    """What sends a request to a service on each database and checks the answer; it is started once for all tests."""
    tmp_path = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack, asyncio.Runner() as runner:
        patch.setenv("KEY_FILE", str(key_file))
        patch.setenv("DATA_DIR", str(tmp_path / "data"))
        postgres = request.param == "postgres"
        url = stack.enter_context(postgres_database()) if postgres else f"sqlite:///{tmp_path}/serve.db"
        opened = in_process(whole_app(url, tmp_path, callback_hosts=("desk.example",), job_concurrency=0))
        client = runner.run(opened.__aenter__())

        def send(method, path, **more):
            return checked(runner.run(client.request(method, path, **more)))

        yield send
        runner.run(opened.__aexit__(None, None, None))


def checked(response):
    """Assert that an answer is none of a broken service, and if it is an error one that tells no more than it should."""
    assert response.status_code < 500, response.text
    assert PLANTED not in response.text
    if not response.is_redirect:  # to the sign-in, which is told where to go on
        assert PLANTED not in str(response.headers)
    if response.status_code >= 400 and response.request.method != "HEAD" and not response.request.url.path.startswith("/review"):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]
        assert response.json()["status"] == response.status_code
    return response


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
numbers = st.sampled_from(["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 4999, "0." + "1" * 4999, "-0", "1E400", "9" * 400])
NESTED = 100_000
RAW = {
    "nothing": b"",
    "no JSON": b"{",
    "NUL": b'{"message": "\x00' + PLANTED.encode() + b'"}',
    "bytes that are no UTF-8": b'{"message": "\xff\xfe' + PLANTED.encode() + b'"}',
    "UTF-16": json.dumps({"message": PLANTED}).encode("utf-16"),
    "UTF-16 cut off": json.dumps({"message": PLANTED}).encode("utf-16")[:-1],
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps({"message": PLANTED}).encode(),
    "nested arrays": b"[" * NESTED + b"]" * NESTED,
    "nested objects": b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    "nested metadata": b'{"message": "x", "metadata": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "metadata nested to the parser's limit": b'{"message": "x", "metadata": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
    "1 MB": json.dumps({"message": PLANTED * 75_000}).encode(),
    "1 MB of metadata": json.dumps({"message": "x", "metadata": {"a": PLANTED * 75_000}}).encode(),
    "a row that is nested": b'{"messages": [{"message": "x"}, ' + b"[" * 900 + b"]" * 900 + b"]}",
    "many names": json.dumps({f"{PLANTED}{n}": n for n in range(2000)}).encode(),
    "a name twice": b'{"message": "a", "message": "b", "message": 7}',
    "a text": json.dumps(PLANTED).encode(),
    "a row with a name of its own": json.dumps({"messages": [{"message": "x", PLANTED: 1}, {PLANTED: {PLANTED: []}}]}).encode(),
    "names of its own": json.dumps({"message": "x", PLANTED: 1}).encode(),
    "a channel of its own": json.dumps({"message": "x", "channel": PLANTED}).encode(),
    "lone surrogates": rb'{"message": "\ud800\udc00 \udfff \ud800", "metadata": {"\udead": "\ud800", "customer_id": "\ud800\u0000"}}',
    "lone surrogates in a name": rb'{"message": "x", "\udead": 1}',
    "an integer of 5,000 digits": b'{"message": "x", "metadata": {"a": ' + b"1" * 5000 + b"}}",
    "numbers that are none": b'{"message": "x", "metadata": {"a": NaN, "b": [Infinity, -Infinity, 1e999], "customer_id": NaN}}',
}


@pytest.mark.parametrize("path", [URL, URL + "?mode=async", BATCH, BATCH + "?mode=async"])
def test_whatever_bytes_a_body_is_of(service, path):
    for name, raw in RAW.items():
        response = service("POST", path, content=raw, headers=JSON | {"idempotency-key": name.replace(" ", "-").replace("'", "")})
        assert response.status_code in {200, 202, 400, 413, 422}, name

    @seed(SEED)
    @few
    @given(
        st.binary(max_size=200)
        | st.tuples(anything, st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-16-le"])).map(
            lambda one: json.dumps(one[0]).encode(one[1])
        )
    )
    def send(raw):
        service("POST", path, content=raw, headers=JSON)

    send()


def test_whatever_form_a_message_has(service):
    fields = {"message": anything | st.text(min_size=1), "channel": anything | st.sampled_from(["chat", "voice", "mail"])}
    more = {"metadata": anything | st.dictionaries(st.text(), anything, max_size=4), "callback_url": st.none() | st.text()}
    row = st.fixed_dictionaries({}, optional=fields | more) | anything

    @seed(SEED)
    @few
    @given(row, st.lists(row, max_size=4), st.sampled_from(["sync", "async"]), numbers)
    @example({"message": "x"}, [{"message": "x"}] * 1001, "sync", "1")
    @example({"message": "x"}, [{"message": "x"}] * 1001, "async", "1")
    def send(one, rows, mode, number):
        service("POST", URL, params={"mode": mode}, content=json.dumps(one), headers=JSON)
        service("POST", BATCH, params={"mode": mode}, content=json.dumps({"messages": rows}), headers=JSON)
        service("POST", URL, params={"mode": mode}, content=f'{{"message": "x", "metadata": {{"n": {number}}}}}', headers=JSON)

    send()


def test_metadata_may_be_nested_so_deep_and_no_deeper(service):
    def nested(levels):
        return {"message": "x", "metadata": {"a": json.loads("[" * (levels - 1) + "]" * (levels - 1))}}

    for mode, done in (("sync", 200), ("async", 202)):
        for levels, status in ((MAX_METADATA_DEPTH, done), (MAX_METADATA_DEPTH + 1, 422), (900, 422)):
            headers = {"idempotency-key": f"{mode}-{levels}"}
            assert service("POST", URL, params={"mode": mode}, json=nested(levels), headers=headers).status_code == status
    rows = service("POST", BATCH, json={"messages": [nested(MAX_METADATA_DEPTH), nested(900)]}).json()["results"]
    assert [row["error"] and row["error"]["field"] for row in rows] == [None, "metadata"]


def test_what_is_wrong_with_a_row_is_told_without_the_names_that_the_client_made_up(service):
    rows = [{"message": "x", "ann@example.com": 1}, {"message": "x", "colour": 1}]
    response = service("POST", BATCH, json={"messages": rows})
    assert "ann@" not in response.text
    assert [row["error"]["field"] for row in response.json()["results"]] == ["(unknown field)", "(unknown field)"]


TEXTS = {
    "right to left": "לא קיבלתי את ההזמנה \u202e 4432 \u202c",
    "combining": "e" + "\u0301\u0316" * 3000,
    "emoji": "\U0001f469\u200d\u2695\ufe0f" * 2000,
    "control characters": "".join(map(chr, [*range(1, 32), *range(127, 160)])) + "refund",
    "invisible": "\u200b\u2060\ufeffx",
    "10,000 characters": "ab " * 3333,
    "all planes": "".join(chr(code) for code in range(0x20, 0x110000, 113) if not 0xD800 <= code < 0xE000),
    "noncharacters": "\ufffe\uffff\U0010ffff x",
    "NUL": "x\x00y",
}


def test_a_message_of_whatever_characters_is_answered(service):
    for name, text in TEXTS.items():
        response = service("POST", URL, json={"message": text, "channel": "mail", "metadata": {"customer_id": text[:2000]}})
        assert response.status_code == 200, name

    @seed(SEED)
    @few
    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300).filter(str.strip))
    def send(text):
        assert service("POST", URL, json={"message": text, "channel": "mail"}).status_code == 200

    send()


KINDS = (
    "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
    "application/json; charset=utf-16", "application/json; charset=nonsense", "application/json;;;=", "APPLICATION/JSON", "a/b/c",
    "x" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_body_says_that_it_is(service, kind):
    for raw in (
        json.dumps({"message": PLANTED + " x"}).encode(),
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + PLANTED.encode() + b"\r\n--x--",
    ):
        service("POST", URL, content=raw, headers={"content-type": kind})


SEGMENTS = st.text(max_size=80) | st.sampled_from(
    ["\x00", "a\x00b", ".", "..", "%00", "%", "\ud800", "a/b", PLANTED, "x" * 3000, "٣", "\r\nx: y", "' OR 1=1 --", "none"]
)


def test_whatever_ids_methods_and_paths_are_asked_for(service):
    def encoded(segment):
        return quote(segment.encode("utf-8", "surrogatepass"), safe="")

    @seed(SEED)
    @few
    @given(SEGMENTS.map(encoded), st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "x"]))
    @example(PLANTED, "GET")
    @example("%00", "GET")
    @example("a%00b", "POST")
    @example("%ed%a0%80", "GET")
    @example("%ff", "POST")
    def ask(segment, method):
        for path in (
            f"/api/v1/jobs/{segment}",
            f"/api/v1/escalations/{segment}",
            f"/{segment}",
            f"/api/v1/{segment}/x",
            f"/review/{segment}",
        ):
            service(method, path)
        for step in ("claim", "acknowledge", "resolve"):
            service("POST", f"/api/v1/escalations/{segment}/{step}", json={"resolution": "x"})
        for query in (
            f"after={segment}",
            f"limit={segment}",
            f"status={segment}",
            f"{segment}={segment}",
            f"after={segment}&after={segment}",
        ):
            service("GET", f"/api/v1/escalations?{query}")
        service("POST", f"{URL}?mode={segment}", json={"message": "x"})
        service("GET", f"/review/items/{segment}")
        service("GET", f"/review/static/{segment}")
        service("POST", f"/review/items/{segment}/claim", content=segment, headers={"content-type": "application/x-www-form-urlencoded"})

    ask()


def test_whatever_a_person_says_of_an_escalation(service):
    @seed(SEED)
    @few
    @given(
        anything | st.fixed_dictionaries({}, optional={"by": anything | st.text(), "resolution": anything | st.text(), "label": anything})
    )
    @example({"by": "\x00\ud800", "resolution": "\x00\ud800"})
    @example({"by": "x" * 129, "resolution": "x" * 4001})
    def say(body):
        for step in ("claim", "acknowledge", "resolve"):
            service("POST", f"/api/v1/escalations/m-throat/{step}", content=json.dumps(body), headers=JSON)
        for path in ("active", "rollback"):
            service("POST", f"/api/v1/releases/{path}", content=json.dumps(body), headers=JSON)
        service("PUT", "/api/v1/releases/challenger", content=json.dumps(body), headers=JSON)

    say()
    for release in ("0" * 12, "0" * 12 + "\n", "\x00" * 12, PLANTED, "../../etc/pw", 7, None, ["0" * 12]):
        for share in (0.1, 2, -1, "NaN", 1e308):
            assert service("PUT", "/api/v1/releases/challenger", json={"release": release, "share": share}).status_code in {404, 422}
        assert service("POST", "/api/v1/releases/active", json={"release": release}).status_code in {404, 422}


HEADERS = (
    "idempotency-key", "x-request-deadline", "content-type", "authorization", "x-api-key", "traceparent", "accept", "cookie",
    "origin", "host", "x-forwarded-for", "expect", "accept-encoding", "range", "if-none-match", "x-http-method-override",
)  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_whatever_bytes_are_in_a_header(service, name):
    @seed(SEED)
    @settings(few, max_examples=max(10, EXAMPLES // 4))
    @given(st.binary(max_size=60).filter(lambda value: not re.search(rb"[\r\n\x00]", value)))
    @example(b"\xff\xfe")
    @example(b"\xd9\xa3")  # a digit, and not of ASCII
    @example(b"1e5")
    @example(b"9" * 5000)
    def send(value):
        if not (name == "x-request-deadline" and re.fullmatch(rb"[ \t]*(-\d.*|0+(\.0*)?)[ \t]*", value)):  # that is an honest 504
            service("POST", URL, json={"message": "x"}, headers=[(name.encode(), value)])
            for path in ("/metrics", "/ready", "/review", "/review/sign-in", "/api/v1/escalations"):
                service("GET", path, headers=[(name.encode(), value)])

    send()


CALLBACKS = (
    "https://desk.example@evil.example/", "https://evil.example#@desk.example/", "https://desk.example:443@evil.example/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[", "https://[desk.example]/", "https://127.1/",
    "https://2130706433/", "https://0x7f.1/", "https://xn--dsk-fma.example/", "https://d\u0435sk.example/", "https://desk\u3002example/",
    "https://desk.example\r\nHost: evil.example/", "https://desk.example/\r\nX: y", "https://desk.example\\@evil.example/",
    "//desk.example/",
    "https://desk.example.evil.example/", "https://evildesk.example/", "https://desk.example:99999/", "https://desk.example:0x50/",
    "http://desk.example/", "file:///etc/passwd", "javascript:alert(1)", "gopher://desk.example/", "https://", "", " ", "\x00", "\ud800",
    "https://desk.example/" + "x" * 2000, "https://desk.example./", "https:/desk.example/", "https:desk.example", f"https://{PLANTED}.example/",
)  # fmt: skip


def test_no_trick_gets_another_host_called_back(service):
    for url in CALLBACKS:
        response = service("POST", URL, params={"mode": "async"}, content=json.dumps({"message": "x", "callback_url": url}), headers=JSON)
        assert response.status_code == 422, url
        assert "evil" not in response.text
    good = {"message": "x", "callback_url": "https://desk.example/told?job=1"}
    assert service("POST", URL, params={"mode": "async"}, json=good).status_code == 202


HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"message": PLANTED + " x"}).encode()
CUT_OFF = {
    "a chunked body": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
    "a body shorter than it says": HEAD + b"Content-Length: 500\r\n\r\n" + BODY,
    "the head": HEAD,
    "the first line": b"POST /api",
}
WIRE = {
    "a body longer than it says": HEAD + b"Content-Length: 5\r\nConnection: close\r\n\r\n" + BODY,
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\n" + BODY,
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length of 400 digits": HEAD + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n" + BODY,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + BODY,
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a NUL in a header": HEAD + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a NUL in the path": b"GET /api/v1/jobs/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /api/v1/jobs/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "another version": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "HTTP/2 without TLS": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a websocket": b"GET /api/v1/classify HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "a header of 100 kB": HEAD + b"X-A: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "1,000 headers": HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    "a path of 60 kB": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a whole address": b"GET http://evil.example/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an unknown method": b"BREW /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "PII in a path": f"GET /customers/{PLANTED}?q={PLANTED} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(),
}


def exchange(port, raw, *, leave=False, silent_s=10.0):
    """Send bytes and return what comes until the other side closes or is silent for so long; or leave without reading."""
    with socket.create_connection(("127.0.0.1", port), timeout=silent_s) as connection:
        connection.sendall(raw)
        if leave:
            return b""
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except (ConnectionResetError, TimeoutError):  # it need not read what follows a bad request
            pass
        return answer


def test_whatever_comes_over_the_wire_the_service_goes_on(tmp_path):
    with on_a_socket(whole_app(f"sqlite:///{tmp_path}/serve.db", tmp_path, job_concurrency=0)) as port:
        for name, raw in WIRE.items():
            answer = exchange(port, raw)
            assert answer, name
            assert not re.search(rb"^HTTP/1\.1 5", answer, re.MULTILINE), (name, answer[:300])
            assert PLANTED.encode() not in answer, name
            if b"X-Request-ID" in answer.title() and re.match(rb"HTTP/1\.1 4", answer):
                assert b"application/problem+json" in answer, (name, answer[:300])
        for raw in CUT_OFF.values():
            exchange(port, raw, leave=True)
        health = exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert health.startswith(b"HTTP/1.1 200")
        assert not re.search(rb'status="5\d\d"', health)
