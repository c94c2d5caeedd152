import argparse
import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from support import ROOT

from orchestrator.errors import OrchestratorError
from serve.access.changes import added, revoked, rotated
from serve.access.command import add_verbs, run
from serve.access.key import ApiKey
from serve.access.key_file import KeyFile, change
from serve.access.keys import ApiKeys
from serve.access.refusal import Refusal
from serve.client import Scope
from serve.settings_table import add_verbs as add_settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BOTH = frozenset({Scope.CLASSIFY, Scope.REVIEW})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "api-keys.json"


@pytest.fixture
def keys(path):
    """Run ``python -m serve keys …`` on the test's own file; it returns the exit code."""

    def command(*words):
        return execute(["keys", *words], {"API_KEYS_FILE": str(path)})

    return command


def execute(words, environment):
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    add_verbs(verbs)
    add_settings(verbs)
    options = parser.parse_args(words)
    options.environment = environment
    return run(options)


def test_the_key_is_printed_once_alone_and_works(keys, path, capsys):
    assert keys("add", "desk", "--scope", "classify", "--scope", "review", "--per-minute", "120") == 0
    printed = capsys.readouterr()
    client = ApiKeys(path).find(printed.out.removesuffix("\n"))
    assert (client.id, client.scopes, client.requests_per_minute) == ("desk", BOTH, 120)
    assert ApiKey.parse(printed.out.strip()).secret not in printed.err
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_list_shows_how_keys_stand_and_no_secret(keys, path, capsys):
    keys("add", "desk", "--scope", "classify", "--expires", "30", "--note", "CRM \x1b[31m")
    key = ApiKey.parse(capsys.readouterr().out.strip())
    assert keys("list") == 0
    table = capsys.readouterr().out
    assert key.id in table
    assert "valid" in table
    assert "\x1b" not in table
    assert keys("list", "--json") == 0
    text = capsys.readouterr().out
    (row,) = json.loads(text)
    assert (row["client"], row["id"], row["scopes"], row["state"]) == ("desk", key.id, ["classify"], "valid")
    assert datetime.fromisoformat(row["expires_at"]) - datetime.fromisoformat(row["created_at"]) == timedelta(days=30)
    assert key.secret not in table + text
    assert key.digest().hex() not in table + text


def test_after_a_rotation_both_keys_work_until_the_grace_is_over(keys, path, capsys):
    keys("add", "desk", "--scope", "classify", "--per-minute", "9", "--note", "CRM")
    old = capsys.readouterr().out.strip()
    assert keys("rotate", "desk", "--grace", "2") == 0
    new = capsys.readouterr().out.strip()
    now = [datetime.now(UTC)]
    held = ApiKeys(path, now=lambda: now[0])
    assert held.find(old) == held.find(new)
    assert held.find(new).requests_per_minute == 9
    now[0] += timedelta(hours=2, seconds=1)
    assert held.find(old) is Refusal.EXPIRED
    assert held.find(new).id == "desk"
    keys("list", "--json")
    assert [row["note"] for row in json.loads(capsys.readouterr().out)] == ["CRM", "CRM"]


def test_a_key_is_revoked_by_its_id_and_all_by_the_clients_name(keys, path, capsys):
    made = [keys("add", "desk", "--scope", "classify") or capsys.readouterr().out.strip() for _ in range(3)]
    assert keys("revoke", ApiKey.parse(made[0]).id) == 0
    held = ApiKeys(path)
    assert [held.find(key) is Refusal.REVOKED for key in made] == [True, False, False]
    assert keys("revoke", "desk") == keys("revoke", "desk") == 0
    held = ApiKeys(path)
    assert [held.find(key) for key in made] == [Refusal.REVOKED] * 3


def test_a_clients_limit_is_set_and_taken_away(keys, path, capsys):
    keys("add", "desk", "--scope", "classify")
    key = capsys.readouterr().out.strip()
    keys("limit", "desk", "500")
    assert ApiKeys(path).find(key).requests_per_minute == 500
    keys("limit", "desk")
    assert ApiKeys(path).find(key).requests_per_minute is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list"], "is missing: `python -m serve keys add CLIENT --scope classify` makes it"),
        (["rotate", "desk"], "there is no client or key desk: `python -m serve keys list` shows them"),
        (["revoke", "desk"], "there is no client or key desk"),
        (["limit", "desk", "5"], "there is no client or key desk"),
        (["add", "a desk", "--scope", "classify"], "cannot be a client's name"),
        (["add", "anybody", "--scope", "classify"], "cannot be a client's name"),
    ],
)
def test_a_mistake_says_what_to_do_and_changes_nothing(keys, path, words, told):
    with pytest.raises(OrchestratorError, match=re.escape(told)):
        keys(*words)
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "add desk",
        "add desk --scope root",
        "add desk --scope admin --per-minute 0",
        "add desk --scope admin --expires 0",
        "rotate desk --grace -1",
        "rotate desk --grace nan",
    ],
)
def test_what_cannot_be_meant_is_refused(keys, path, line):
    with pytest.raises(SystemExit):
        keys(*line.split())
    assert not path.exists()


def test_without_a_file_named_it_says_how_to_name_one():
    with pytest.raises(OrchestratorError, match="set API_KEYS_FILE"):
        execute(["keys", "list"], {})


def test_a_broken_file_is_not_written_over(keys, path):
    path.parent.mkdir()
    path.write_text('{"clients": [')
    with pytest.raises(OrchestratorError, match="is no file of API keys"):
        keys("add", "desk", "--scope", "classify")
    assert path.read_text() == '{"clients": ['


def test_a_file_that_is_killed_off_halfway_is_as_before(keys, path, capsys):
    keys("add", "desk", "--scope", "classify")
    before = path.read_bytes()

    def dies(held):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change(path, dies)
    assert path.read_bytes() == before
    path.with_name(f".{path.name}.tmp").write_text("what a killed process left")
    assert keys("add", "mail", "--scope", "classify") == 0
    assert [client.id for client in KeyFile.model_validate_json(path.read_bytes()).clients] == ["desk", "mail"]


def a_file(*keys):
    held = KeyFile()
    for key, scopes, lifetime in keys:
        held = added(held, "desk", key, scopes=scopes, now=NOW, lifetime=lifetime)
    return held


def state_of(held, moment):
    return {key.id: key.state(moment) for client in held.clients for key in client.keys}


def test_keys_of_different_scopes_are_rotated_one_by_one():
    one, two, new = ApiKey.new(), ApiKey.new(), ApiKey.new()
    held = a_file((one, BOTH, None), (two, frozenset({Scope.CLASSIFY}), None))
    with pytest.raises(OrchestratorError, match=f"one by one, by their ids \\({one.id}, {two.id}\\)"):
        rotated(held, "desk", new, now=NOW, grace=timedelta(0))
    after = rotated(held, two.id, new, now=NOW, grace=timedelta(0))
    assert state_of(after, NOW) == {one.id: "valid", two.id: "expired", new.id: "valid"}
    assert after.clients[0].keys[-1].scopes == {Scope.CLASSIFY}


def test_a_rotation_never_lengthens_a_life_and_the_new_key_has_the_old_ones():
    first, second, third = ApiKey.new(), ApiKey.new(), ApiKey.new()
    held = a_file((first, BOTH, timedelta(days=30)))
    held = rotated(held, "desk", second, now=NOW + timedelta(days=29, hours=20), grace=timedelta(hours=24))
    assert held.clients[0].keys[0].expires_at == NOW + timedelta(days=30)
    assert held.clients[0].keys[1].expires_at == NOW + timedelta(days=59, hours=20)
    held = rotated(held, "desk", third, now=NOW + timedelta(days=29, hours=21), grace=timedelta(hours=24))
    assert held.clients[0].keys[0].expires_at == NOW + timedelta(days=30)  # on its way out already: it is not replaced again
    assert held.clients[0].keys[2].expires_at == NOW + timedelta(days=59, hours=21)


def test_a_revoked_key_is_not_rotated_into_a_new_one():
    key = ApiKey.new()
    held = revoked(a_file((key, BOTH, None)), "desk", now=NOW)
    with pytest.raises(OrchestratorError, match="has no valid key to rotate"):
        rotated(held, "desk", ApiKey.new(), now=NOW, grace=timedelta(0))
    assert revoked(held, key.id, now=NOW + timedelta(days=1)).clients[0].keys[0].revoked_at == NOW


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "access.md").read_text()


def test_the_pages_commands_work_in_the_order_they_stand(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    environment = {}
    ran = 0
    for line in "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            environment[name] = value
        elif line.startswith("python -m serve "):
            key_id = json.loads((tmp_path / "api-keys.json").read_text())["clients"][0]["keys"][0]["id"] if ran else ""
            assert execute(shlex.split(line.replace("KEYID", key_id))[3:], environment) == 0, line
            capsys.readouterr()
            ran += 1
    assert ran > 5


def test_every_verb_is_on_the_page(page):
    assert all(f"python -m serve keys {verb}" in page for verb in ("add", "list", "rotate", "revoke", "limit"))
