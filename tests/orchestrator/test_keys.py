import stat

import pytest

from orchestrator.errors import KeysError
from orchestrator.keys import Keys, sealed, unsealed


def test_a_key_file_is_readable_by_its_owner_alone_and_never_overwritten(tmp_path):
    path = tmp_path / "deep" / "keys.json"
    first = Keys.of({}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Keys.new().write(path)
    assert Keys.of({}, path).encryption == first.encryption
    assert list(path.parent.iterdir()) == [path]


def test_the_environment_comes_before_the_file(tmp_path):
    new = Keys.new()
    given = {"ENCRYPTION_KEYS": new.encryption[0], "AUDIT_SIGNING_KEY": new.signing, "PSEUDONYM_KEY": new.pseudonym}
    assert Keys.of(given, tmp_path / "keys.json").encryption == new.encryption
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no keys are configured"),
        ({"ENCRYPTION_KEYS": "x"}, "AUDIT_SIGNING_KEY and PSEUDONYM_KEY must be set too"),
        ({"ENCRYPTION_KEYS": "x", "AUDIT_SIGNING_KEY": "y", "PSEUDONYM_KEY": "z"}, "are not usable"),
        ({"KEY_FILE": "/nowhere/keys.json"}, "is missing: make one with"),
    ],
)
def test_keys_that_are_missing_or_malformed_are_named(environment, words):
    with pytest.raises(KeysError, match=words):
        Keys.of(environment)


def test_a_key_file_that_is_not_one_is_named(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text('{"encryption": []}')
    with pytest.raises(KeysError, match=r"keys.json is not a key file"):
        Keys.read(path)


def test_a_customer_is_found_by_the_same_pseudonym_and_by_no_other_installation():
    one, other = Keys.new(), Keys.new()
    assert one.pseudonym_of("C-77") == one.pseudonym_of("C-77")
    assert one.pseudonym_of("C-77") != one.pseudonym_of("C-78")
    assert one.pseudonym_of("C-77") != other.pseudonym_of("C-77")


@pytest.mark.parametrize("text", ["", "hello", "ñ \u2019 \x00 \ud800", "x" * 10_000])
def test_what_is_sealed_opens_with_its_key_and_no_other(text):
    from cryptography.fernet import Fernet

    key = Fernet.generate_key()
    assert unsealed(key, sealed(key, text)) == text
    with pytest.raises(KeysError, match="does not fit its key"):
        unsealed(Fernet.generate_key(), sealed(key, text))
