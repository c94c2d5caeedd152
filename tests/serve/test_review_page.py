"""The pharmacist's page: its sign-in over plain HTTP, and its work in a real browser."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from review_desk import HOSTILE, MESSAGES, Keys, desk, fill

from orchestrator.keys import Keys as StoreKeys
from orchestrator.store.escalations import Status
from orchestrator.store.ledger import Ledger
from serve.review_page.session import IDLE_S, LONGEST_S, Session, Sessions

HOSTILE_ONE = ("m-hostile", HOSTILE, "chat", 3, (0.02, 0.02, 0.96))
ANN = {"name": "Ann Lee", "key": "key-desk"}


class Clock:
    """Seconds since 1970 that pass when they are told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def filled(key_file, tmp_path_factory):
    """A database with made-up messages on the queue. Copy it; do not change it."""
    folder = tmp_path_factory.mktemp("desk")
    ledger = Ledger.at(f"sqlite:///{folder}/ledger.db", {"KEY_FILE": str(key_file), "DATA_DIR": str(folder)})
    fill(ledger, (*MESSAGES, HOSTILE_ONE))
    ledger.close()
    return folder / "ledger.db"


@pytest.fixture(scope="module", autouse=True)
def _filled_first(filled) -> None:
    """The queue is filled before the browser opens: asyncio.run cannot be called while Playwright is open."""


@pytest.fixture
def queue(filled, tmp_path):
    """That queue, a test's own."""
    copy = tmp_path / "ledger.db"
    copy.write_bytes(filled.read_bytes())
    ledger = Ledger.at(f"sqlite:///{copy}", os.environ)
    yield ledger
    ledger.close()


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def url(queue, keys):
    with desk(queue, keys) as served:
        yield served


def posting(url):
    """A client that says where its forms come from, as a browser does."""
    return httpx2.Client(base_url=url, headers={"origin": url}, timeout=30)


def sign_in(client, **form):
    return client.post("/review/sign-in", data=ANN | form)


def token_on(page):
    return page.text.split('name="token" value="')[1].split('"')[0]


# --- the door


def test_who_has_not_signed_in_sees_no_message(url):
    with posting(url) as client:
        for path in ("/review", "/review/items/m-rash", "/review/change"):
            refused = client.get(path)
            assert refused.status_code == 303
            assert refused.headers["location"].startswith("/review/sign-in?then=/review")
            assert "amoxicillin" not in refused.text
        assert client.post("/review/items/m-rash/claim", data={}).headers["location"] == "/review/sign-in?then=/review/items/m-rash"


def test_a_key_of_scope_review_and_a_name_open_the_queue_and_lead_to_what_was_wanted(url):
    with posting(url) as client:
        assert sign_in(client, then="/review/items/m-rash").headers["location"] == "/review/items/m-rash"
        assert "amoxicillin" in client.get("/review/items/m-rash").text


@pytest.mark.parametrize(
    "then", ["https://evil.example/", "//evil.example", "/review/items/a/../../x", "/review\\@evil.example", "javascript:1"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(url, then):
    with posting(url) as client:
        assert sign_in(client, then=then).headers["location"] == "/review"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"key": "key-unknown"}, "not known here"),
        ({"key": ""}, "not known here"),
        ({"key": "x" * 513}, "not known here"),
        ({"key": "key-front"}, "may not review"),
        ({"name": "  "}, "name is needed"),
        ({"name": "x" * 129}, "name is needed"),
    ],
)
def test_without_a_good_key_or_a_name_nobody_gets_in_and_the_key_is_never_sent_back(url, form, words):
    with posting(url) as client:
        refused = sign_in(client, **form)
        assert refused.status_code == 401
        assert words in refused.text
        assert "set-cookie" not in refused.headers
        assert not form.get("key") or form["key"] not in refused.text


def test_the_cookie_goes_to_no_script_and_no_other_site_and_holds_nothing_readable(url):
    with posting(url) as client:
        cookie = sign_in(client).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/review"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # on loopback only
        away = client.post("/review/sign-in", data=ANN, headers={"host": "desk.example", "origin": "https://desk.example"})
        assert "Secure" in away.headers["set-cookie"].split("; ")
        assert not any(word in cookie for word in ("Ann", "key-desk", "k1"))


def test_a_key_is_not_taken_over_plain_http_from_another_machine(url):
    with posting(url) as client:
        refused = client.post("/review/sign-in", data=ANN, headers={"host": "desk.example", "origin": "http://desk.example"})
        assert (refused.status_code, "https" in refused.text) == (401, True)


def test_a_session_is_over_once_its_key_is_revoked(url, keys):
    with posting(url) as client:
        sign_in(client)
        assert client.get("/review").status_code == 200
        del keys.opens["key-desk"]
        assert client.get("/review").headers["location"] == "/review/sign-in?then=/review&ended=1"


def test_a_session_ends_after_an_hour_without_use_and_after_eight_in_all(queue, keys):
    clock = Clock()
    with desk(queue, keys, clock=clock) as url, posting(url) as client:
        sign_in(client)
        began = clock.now
        while clock.now < began + LONGEST_S - IDLE_S:
            clock.now += IDLE_S - 1
            assert client.get("/review").status_code == 200
        clock.now = began + LONGEST_S
        assert client.get("/review").status_code == 303
        sign_in(client)
        clock.now += IDLE_S - 1
        assert client.get("/review/change").status_code == 200  # what the page asks for by itself keeps no session alive
        clock.now += 1
        assert client.get("/review").status_code == 303


def test_replicas_with_the_same_keys_accept_each_others_sessions_and_no_others(key_file):
    keys, clock = StoreKeys.read(key_file), Clock()
    session = Sessions(keys, clock).begin("k1", "Ann")
    cookie = Sessions(keys, clock).seal(session)
    assert Sessions(keys.rotated(), clock).open(cookie) == session  # another encryption key changes nothing
    assert Sessions(StoreKeys.new(), clock).open(cookie) is None
    for forged in ("", "x", cookie[:-4], cookie[:-2] + "AA", "\ud800", "é"):
        assert Sessions(keys, clock).open(forged) is None
    other = Sessions(keys, clock).begin("k1", "Ann")
    assert not Sessions(keys, clock).is_own_form(other, Sessions(keys, clock).form_token(session))
    assert isinstance(session, Session)


def test_a_form_from_elsewhere_changes_nothing(url, queue):
    with posting(url) as client, posting(url) as other:
        sign_in(client)
        sign_in(other)
        token, others = token_on(client.get("/review/items/m-rash")), token_on(other.get("/review/items/m-rash"))
        step = "/review/items/m-rash/claim"
        assert client.post(step, data={"token": token}, headers={"origin": "https://evil.example"}).status_code == 403
        assert client.post(step, data={"token": token}, headers={"origin": "null"}).status_code == 403
        assert client.post(step, data={"token": token}, headers={"origin": "http://["}).status_code == 403
        for wrong in ("", others, "é", token[:-1]):
            assert client.post(step, data={"token": wrong}).status_code == 403
        assert client.post(step, json={"token": token}).status_code == 400
        assert client.post(step, content=b"a=1&" * 99, headers={"content-type": "application/x-www-form-urlencoded"}).status_code == 400
        assert client.post("/review/sign-in", data=ANN, headers={"origin": "https://evil.example"}).status_code == 403
        assert queue.escalation("m-rash").status == Status.OPEN
        assert client.post(step, data={"token": token}).headers["location"] == "/review/items/m-rash?done=claimed"


def test_signing_out_ends_the_session(url):
    with posting(url) as client:
        sign_in(client)
        assert client.post("/review/sign-out", data={"token": token_on(client.get("/review"))}).status_code == 303
        assert client.get("/review").status_code == 303


def test_where_keys_are_off_a_name_is_enough(queue):
    with desk(queue, None) as url, posting(url) as client:
        assert 'name="key"' not in client.get("/review/sign-in").text
        assert client.post("/review/sign-in", data={"name": "Ann"}).headers["location"] == "/review"
        assert client.get("/review").status_code == 200


def test_pages_are_kept_nowhere_and_may_load_nothing_from_elsewhere(url):
    with posting(url) as client:
        sign_in(client)
        for path in ("/review", "/review/items/m-rash", "/review/items/none", "/review/sign-in"):
            headers = client.get(path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
            assert "unsafe" not in headers["content-security-policy"]
        sheet = client.get("/review").text.split('rel="stylesheet" href="')[1].split('"')[0]
        assert "immutable" in client.get(sheet).headers["cache-control"]
        assert client.get(sheet.replace(".review.css", ".other.css")).status_code == 404


def test_what_goes_wrong_is_told_on_a_page(url):
    with posting(url) as client:
        sign_in(client)
        for path in ("/review/items/none", "/review/items/n%00", "/review/items/%ff"):
            missing = client.get(path)
            assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert client.get("/review?after=none&whose=theirs&done=x").status_code == 200
    with desk(None, Keys()) as starting, posting(starting) as client:
        assert sign_in(client).status_code == client.get("/review").status_code == 503


def test_of_two_who_claim_at_once_one_is_told_who_has_it(url, queue):
    with posting(url) as ann, posting(url) as bob:
        sign_in(ann)
        sign_in(bob, name="Bob")
        forms = [(who, {"token": token_on(who.get("/review/items/m-rash"))}) for who in (ann, bob)]
        together = threading.Barrier(2)

        def claim(who, form):
            together.wait()
            return who.post("/review/items/m-rash/claim", data=form)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(claim, *zip(*forms, strict=True)))
        winner = queue.escalation("m-rash").claimed_by
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        (lost,) = (answer for answer in answers if answer.status_code == 409)
        assert f"<h1>{winner} has this one</h1>" in lost.text


# --- the work, in a browser


@pytest.fixture
def opened(page, url):
    """The queue in the browser, signed in as Ann."""
    enter(page, url, "Ann Lee")
    return page


def enter(page, url, name):
    page.goto(f"{url}/review")
    page.fill("#name", name)
    page.fill("#key", "key-desk")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('What waits')")


def press_tab_to(page, text):
    for _ in range(30):
        if page.evaluate("document.activeElement.innerText || document.activeElement.id || document.activeElement.value") == text:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{text!r} is not reached by Tab")


def test_the_queue_is_worked_from_claim_to_resolve_by_keyboard_alone(opened, queue):
    first, second = [one.request_id for one in queue.escalations(limit=2)]
    opened.keyboard.press("j")
    opened.keyboard.press("j")
    opened.keyboard.press("k")
    opened.keyboard.press("Enter")
    opened.wait_for_url(f"**/review/items/{first}")
    press_tab_to(opened, "Claim it")
    opened.keyboard.press("Enter")
    opened.wait_for_selector(".notice:has-text('It is yours now')")
    press_tab_to(opened, "I have begun to act")
    opened.keyboard.press("Space")
    opened.wait_for_selector(".notice:has-text('You have begun')")
    press_tab_to(opened, "resolution")
    opened.keyboard.type("Called back, told to keep the next dose. jo@example.org")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.value") == "safety_compliance"  # right as it is
    opened.keyboard.press("ArrowUp")
    press_tab_to(opened, "Resolve it")
    opened.keyboard.press("Enter")
    opened.wait_for_url(f"**/review/items/{second}?done=resolved&of={first}")
    done = queue.escalation(first)
    assert (done.status, done.resolved_by) == (Status.RESOLVED, "Ann Lee")
    assert done.resolution == "Called back, told to keep the next dose. [EMAIL]"
    assert [row["label"] for row in queue.labelled(corrections_only=True)] == ["service_action"]
    opened.click("text=See what was resolved")
    assert "[EMAIL]" in opened.locator(".said").inner_text()


def test_it_works_without_scripts(browser, url, queue):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    enter(page, url, "Ann Lee")
    page.click(".queue a >> nth=0")
    page.click("text=Claim it")
    page.fill("#resolution", "Called back")
    page.click("button:has-text('Resolve it')")
    page.wait_for_url("**done=resolved**")
    assert len(queue.escalations([Status.RESOLVED])) == 1
    context.close()


def test_a_link_on_another_site_leads_to_the_message_whoever_has_signed_in(opened, url):
    opened.goto(f"{url.replace('127.0.0.1', 'localhost')}/review/sign-in")  # another site, as browsers see it
    opened.evaluate(f"location.href = '{url}/review/items/m-rash'")
    opened.wait_for_selector("blockquote:has-text('amoxicillin')")


def test_the_skip_link_comes_first_and_focus_can_be_seen(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    assert opened.locator(".skip").bounding_box()["x"] >= 0
    opened.keyboard.press("Enter")
    opened.keyboard.press("j")
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_an_item_tells_why_it_is_there_how_sure_and_what_was_told(opened, url):
    opened.goto(f"{url}/review/items/m-dizzy")
    text = opened.locator("main").inner_text()
    for words in (
        "Judged without the language model: it did not answer in time",
        "A reaction after a medicine",
        "by chat",
        "Confidence",
    ):
        assert words in text
    assert opened.locator(".shares rect").count() == 3
    assert "A pharmacist has been alerted" in opened.locator(".told").inner_text()
    opened.goto(f"{url}/review/items/m-double")
    assert "overdue by" in opened.locator(".title").inner_text()  # in words


def test_the_whole_message_is_shown_once_for_a_reason_and_that_is_audited(opened, url, queue):
    opened.goto(f"{url}/review/items/m-rash")
    assert "[PHONE_1]" in opened.locator("blockquote").first.inner_text()
    opened.click("text=Read the whole message")
    opened.click("text=Show it once")  # the reason is mandatory: the browser does not send the form
    opened.fill("#reason", "call back")
    opened.click("text=Show it once")
    opened.wait_for_selector(".whole:has-text('020 7946 0018')")
    opened.goto(f"{url}/review/items/m-rash")
    assert "020 7946" not in opened.content()
    (read,) = [event for _, event in queue.events() if event["kind"] == "message_read"]
    assert (read["by"], read["reason"], read["request_id"]) == ("Ann Lee", "call back", "m-rash")


def test_what_the_browser_would_not_send_is_refused_too_and_nothing_typed_is_lost(url, queue):
    with posting(url) as client:
        sign_in(client)
        form = {"token": token_on(client.get("/review/items/m-rash"))}
        client.post("/review/items/m-rash/claim", data=form)
        refused = client.post("/review/items/m-rash/resolve", data=form | {"resolution": "rang twice", "label": "spam"})
        assert (refused.status_code, ">rang twice</textarea>" in refused.text) == (422, True)
        assert client.post("/review/items/m-rash/resolve", data=form | {"label": "informational"}).status_code == 422
        assert client.post("/review/items/m-rash/read", data=form | {"reason": " "}).status_code == 422
        assert not [event for _, event in queue.events() if event["kind"] == "message_read"]


def test_text_of_a_message_is_shown_and_never_run(opened, url, queue):
    queue.claim("m-hostile", "<b>Mallory</b>")
    assert opened.locator(".queue .text", has_text="7 * 7").count() == 1
    opened.goto(f"{url}/review/items/m-hostile")
    assert opened.locator("blockquote").first.text_content() == HOSTILE
    assert opened.locator("img, b").count() == 0
    assert opened.title().endswith("Review")


def test_the_page_says_when_the_queue_has_changed(opened, queue):
    assert not opened.locator("#changed").is_visible()
    queue.claim("m-rash", "Bob")
    opened.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as coming back to its tab does
    opened.wait_for_selector("#changed:visible")
    opened.click("#changed a")
    assert "by Bob" in opened.locator(".queue").inner_text()


def test_axe_finds_nothing_in_light_and_dark_and_a_phone_needs_no_scrolling_sideways(page, url, queue):
    page.set_viewport_size({"width": 360, "height": 740})
    queue.claim("m-rash", "Bob")
    queue.claim("m-throat", "Ann Lee")
    page.goto(f"{url}/review")
    check(page)
    enter(page, url, "Ann Lee")
    check(page)
    for item in ("m-rash", "m-throat?done=claimed", "m-dizzy"):
        page.goto(f"{url}/review/items/{item}")
        page.click("summary")
        check(page)


def check(page):
    for scheme, options in (("light", None), ("dark", {"runOnly": ["color-contrast"]})):  # nothing else differs in the dark
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours at rest: a button's own fade into the new scheme
        found = Axe().run(page, options=options)
        assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_conflict_is_told_kindly_and_leads_on(browser, url, queue):
    with browser.new_context() as context:  # its own: a browser logs every 409 as an error
        page = context.new_page()
        enter(page, url, "Ann Lee")
        page.goto(f"{url}/review/items/m-rash")
        queue.claim("m-rash", "Bob")
        page.click("text=Claim it")
        page.wait_for_selector("h1:has-text('Bob has this one')")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.click("text=The next one")
        page.wait_for_selector("text=Claim it")
