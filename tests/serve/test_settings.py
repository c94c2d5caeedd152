import argparse
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from support import ROOT

from orchestrator.errors import OrchestratorError
from serve.access.changes import added, revoked
from serve.access.headers import HSTS, security_headers
from serve.access.key import ApiKey
from serve.access.key_file import KeyFile, change
from serve.checks import check
from serve.checks.outside import installed
from serve.client import Scope
from serve.configure import SettingsError, load_settings, problems_of
from serve.loopback import is_loopback
from serve.misspelt import OTHERS, misspelt
from serve.settings import Settings
from serve.settings_table import add_verbs, settings_table

EVERYWHERE = "0.0.0.0"  # noqa: S104  # asked about and never bound
NAMES = [name.upper() for name in Settings.model_fields]


def test_an_empty_environment_is_fine():
    assert load_settings({}) == load_settings({"PORT": "", "REDIS_URL": ""})
    assert load_settings({}).model_dump() == {name: field.default for name, field in Settings.model_fields.items()}


def test_settings_are_read_from_the_environment_that_is_given_alone(monkeypatch):
    monkeypatch.setenv("PORT", "1")
    settings = load_settings({"WORKERS": "1", "log_level": "DEBUG", "CORS_ORIGINS": "https://a.example, https://b.example:8443"})
    assert (settings.port, settings.log_level) == (8000, "DEBUG")
    assert settings.cors_origins == ("https://a.example", "https://b.example:8443")
    assert load_settings({"CALLBACK_HOSTS": '["desk.example"]'}).callback_hosts == ("desk.example",)


def test_all_problems_are_named_at_once_each_on_its_line():
    environment = {
        "PORT": "70000", "WORKERS": "four", "LOG_LEVEL": "verbose", "HOST": EVERYWHERE, "CHALLENGER_SHARE": "0.5",
        "MAX_CONCURENT_REQUESTS": "7", "LLM_TIMEOUT_SECONDS": "inf", "QUEUE_SECONDS": "40", "CORS_ORIGINS": "[x",
        "ALLOW_NO_KEYS": "perhaps", "TLS_CERT_FILE": "cert.pem",
    }  # fmt: skip
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    assert isinstance(caught.value, OrchestratorError)
    lines = str(caught.value).splitlines()
    assert lines == caught.value.problems
    named = {line.partition(":")[0] for line in lines}
    assert named == (set(environment) - {"HOST", "TLS_CERT_FILE"}) | {"TLS_KEY_FILE"}  # who may listen is asked once that is read
    assert len(lines) == len(named)
    assert "PORT: 70000 is not usable: give a whole number from 0 to 65535, or unset it for 8000" in lines
    assert "LOG_LEVEL: the value is not usable: give one of `DEBUG`, `INFO`, `WARNING`, `ERROR`, or unset it for INFO" in lines


PASSWORD = "hunter2-s3cret"  # noqa: S105  # nobody's


def test_no_problem_repeats_a_secret():
    environment = dict.fromkeys(NAMES, f"{PASSWORD}://user:{PASSWORD}@host:{PASSWORD}/[")
    problems = "\n".join(problems_of(environment))
    assert "DATABASE_URL" in problems
    assert "REDIS_URL" in problems
    # paths are no secrets, and without them nobody finds the file; HOST is what it listens on
    assert PASSWORD not in "\n".join(problems_of({**environment, "API_KEYS_FILE": "", "CHALLENGER_RELEASE": "", "HOST": ""}))


ORIGINS = ["*", "https://*.example", "https://desk.example/", "desk.example", "null", "https://user@desk.example", "ftp://desk.example",
           "https://desk.example:443", "https://DESK.example", "https://desk.example:x", "https://"]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_that_no_browser_would_send_is_refused(origin):
    (problem,) = problems_of({"CORS_ORIGINS": origin})
    assert problem.startswith("CORS_ORIGINS: an origin is https://HOST")


@pytest.mark.parametrize(
    ("environment", "variable", "words"),
    [
        ({"HOST": EVERYWHERE}, "API_KEYS_FILE", "python -m serve keys add"),
        ({"HOST": "::"}, "API_KEYS_FILE", "set ALLOW_NO_KEYS=true"),
        ({"API_KEYS_FILE": "/nowhere/keys.json"}, "API_KEYS_FILE", "is missing: `python -m serve keys add"),
        ({"WORKERS": "4"}, "WORKERS", "set REDIS_URL, or WORKERS=1, or RATE_LIMIT_REQUESTS_PER_MINUTE=0"),
        ({"MAX_CONCURRENT_REQUESTS": "1"}, "RED_FLAG_SHARE", "leaves no place for any other message"),
        ({"MAX_CONCURRENT_REQUESTS": "10", "RED_FLAG_SHARE": "0.95"}, "RED_FLAG_SHARE", "leaves no place"),
        ({"CHALLENGER_SHARE": "0.1"}, "CHALLENGER_SHARE", "set CHALLENGER_RELEASE"),
        ({"CHALLENGER_RELEASE": "/nowhere"}, "CHALLENGER_RELEASE", "no folder /nowhere"),
        ({"LLM_TIMEOUT_SECONDS": "31"}, "LLM_TIMEOUT_SECONDS", "never reached"),
        ({"LLM_HEDGE_SECONDS": "30"}, "LLM_HEDGE_SECONDS", "nobody would be asked a second time"),
        ({"REQUEST_TIMEOUT_SECONDS": "1"}, "QUEUE_SECONDS", "nothing left"),
        (
            {"MAX_BODY_BYTES": "5000", "MAX_CHARS_VOICE": "1", "MAX_CHARS_MAIL": "1", "MAX_CHARS_CHAT": "5001"},
            "MAX_CHARS_CHAT",
            "never fit",
        ),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL", "write redis://HOST:PORT/NUMBER"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL", "write sqlite:///FILE or postgresql://USER@HOST/NAME"),
        ({"DATABASE_URL": "postgresql://h:port/y"}, "DATABASE_URL", "no URL of a database"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT", "write http://HOST:4318"),
        ({"TLS_KEY_FILE": "key.pem"}, "TLS_CERT_FILE", "set both"),
        ({"TLS_KEY_FILE": "/nowhere/key", "TLS_CERT_FILE": "/nowhere/cert"}, "TLS_CERT_FILE", "No such file"),
        ({"MAX_CONCURENT_REQUESTS": "5"}, "MAX_CONCURENT_REQUESTS", "did you mean MAX_CONCURRENT_REQUESTS?"),
    ],
)
def test_what_does_not_go_together_is_told_with_what_to_do(environment, variable, words):
    (problem,) = problems_of(environment)
    assert problem.startswith(f"{variable}: ")
    assert words in problem


@pytest.mark.parametrize(
    "environment",
    [
        {"HOST": EVERYWHERE, "ALLOW_NO_KEYS": "true"},
        {"HOST": "localhost"},
        {"WORKERS": "4", "RATE_LIMIT_REQUESTS_PER_MINUTE": "0"},
        {"WORKERS": "4", "REDIS_URL": "rediss://:secret@redis.example:6380/0"},
        {"MAX_CONCURRENT_REQUESTS": "1", "RED_FLAG_SHARE": "0"},
        {"REQUEST_TIMEOUT_SECONDS": "10"},
        {"DATABASE_URL": "sqlite:///x.db", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
        {"CHALLENGER_RELEASE": str(ROOT / "orchestrator" / "champion"), "CHALLENGER_SHARE": "0.1"},
    ],
)
def test_what_goes_together_is_let_through(environment):
    assert problems_of(environment) == []


def test_a_file_without_a_usable_key_or_that_others_may_write_is_refused(tmp_path):
    path = tmp_path / "api-keys.json"
    environment = {"HOST": EVERYWHERE, "API_KEYS_FILE": str(path)}
    now = datetime.now(UTC)
    change(path, lambda held: added(held, "desk", ApiKey.new(), scopes=frozenset(Scope), now=now))
    assert problems_of(environment) == []
    path.chmod(0o620)
    assert "chmod 600 it" in problems_of(environment)[0]
    path.chmod(0o640)
    assert problems_of(environment) == []
    change(path, lambda held: revoked(held, "desk", now=now))
    (problem,) = problems_of(environment)
    assert "holds no key that is valid: `python -m serve keys add CLIENT --scope classify` makes one" in problem
    path.write_text(KeyFile().model_dump_json())
    assert "holds no key that is valid" in problems_of(environment)[0]


def test_a_setting_that_cannot_be_read_raises_no_second_complaint():
    assert len(problems_of({"HOST": EVERYWHERE, "ALLOW_NO_KEYS": "perhaps"})) == 1
    assert len(problems_of({"WORKERS": "4", "RATE_LIMIT_REQUESTS_PER_MINUTE": "none"})) == 1


def test_a_package_that_is_not_there_is_not_installed():
    assert installed("json.decoder")
    assert not installed("no_such_package")
    assert not installed("no_such_package.part")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"])
def test_only_this_machine_reaches_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", [EVERYWHERE, "::", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "localhost.example.org", "127.0.0.1.example.org", ""]
)
def test_every_other_address_may_be_reached_by_others(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MAX_CONCURENT_REQUESTS", "MAX_CONCURRENT_REQUESTS"),
        ("API_KEY_FILE", "API_KEYS_FILE"),
        ("ALLOW_NO_KEY", "ALLOW_NO_KEYS"),
        ("LLM_TIMEOUT_S", "LLM_TIMEOUT_SECONDS"),
        ("LLM_TIMEOUT", "LLM_TIMEOUT_SECONDS"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("MAX_CHARS_EMAIL", "MAX_CHARS_MAIL"),
        ("RATE_LIMIT_REQUEST_PER_MINUTE", "RATE_LIMIT_REQUESTS_PER_MINUTE"),
    ],
)
def test_a_misspelt_setting_is_found(written, meant):
    assert misspelt([written], NAMES) == [(written, meant)]
    assert misspelt([written, meant], NAMES) == []  # the right one is there: the other is another program's


USUAL = """PATH HOME HOSTNAME PWD LANG LC_ALL TERM SHELL USER LOGNAME TZ PYTHONPATH PYTHONUNBUFFERED PYTHON_VERSION PYTHON_SHA256 GPG_KEY
VIRTUAL_ENV SSH_AUTH_SOCK XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS HTTP_PROXY HTTPS_PROXY NO_PROXY REQUESTS_CA_BUNDLE SSL_CERT_FILE
SSL_CERT_DIR OMP_NUM_THREADS PORT_RANGE HOSTS WORKER PORTS KUBERNETES_SERVICE_HOST KUBERNETES_PORT_443_TCP_ADDR KUBERNETES_SERVICE_PORT
REDIS_PORT REDIS_HOST REDIS_SERVICE_HOST REDIS_PORT_6379_TCP POSTGRES_PASSWORD POSTGRES_USER PGHOST PGPASSWORD DATABASE_HOST DATABASE_PORT
OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS OTEL_RESOURCE_ATTRIBUTES LOG_FILE LOG_DIR LOGGING_LEVEL
AWS_REGION AWS_SECRET_ACCESS_KEY GITHUB_ACTIONS GITHUB_TOKEN RUNNER_OS CI MLFLOW_TRACKING_URI DVC_NO_ANALYTICS WEB_CONCURRENCY
UVICORN_WORKERS UVICORN_PORT UVICORN_LOG_LEVEL REQUIRE_SERVICES CHROMIUM SERVICE_URL EVAL_MODEL LLM_MODEL API_KEY API_KEYS
MAX_WORKERS""".split()  # noqa: SIM905  # a list of them would fill the page


def test_what_other_programs_read_is_not_taken_for_a_misspelling():
    assert misspelt([*USUAL, *OTHERS], NAMES) == []


def test_no_setting_is_a_misspelling_of_another():
    for name in NAMES:
        assert misspelt([name], [other for other in NAMES if other != name]) in ([], [(name, "MAX_CHARS_MAIL")], [(name, "MAX_CHARS_CHAT")])


def test_the_variables_of_the_orchestrator_are_known():
    read = {
        name
        for path in (ROOT / "orchestrator").rglob("*.py")
        for name in re.findall(r'environ(?:ment)?(?:\.get\(|\[)"([A-Z_]+)"', path.read_text())
    }
    assert {"KEY_FILE", "DATA_DIR"} <= read
    assert read - OTHERS - set(NAMES) == set()


def pem_of(tmp_path, name, password=None):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    sealing = BestAvailableEncryption(password) if password else NoEncryption()
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing))
    return files


def test_a_certificate_must_fit_its_key_and_need_no_password(tmp_path):
    (one, its_key), (_, others_key), (locked, locked_key) = (
        pem_of(tmp_path, name, password) for name, password in (("a", None), ("b", None), ("c", b"secret"))
    )
    assert problems_of({"TLS_CERT_FILE": str(one), "TLS_KEY_FILE": str(its_key)}) == []
    for certificate, key in ((one, others_key), (one, one), (locked, locked_key)):
        (problem,) = problems_of({"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)})
        assert "give both as PEM" in problem


def test_only_who_ends_tls_promises_it():
    assert HSTS in security_headers(tls=True)
    assert HSTS not in security_headers(tls=False)


def test_check_takes_settings_made_in_code_too():
    assert check(Settings()) == []
    assert len(check(Settings(host=EVERYWHERE, workers=2))) == 2


def test_several_processes_share_the_limits_that_single_clients_have(tmp_path):
    path = tmp_path / "keys.json"
    several = {"API_KEYS_FILE": str(path), "WORKERS": "2", "RATE_LIMIT_REQUESTS_PER_MINUTE": "0"}

    def add(client, limit):
        new = {"scopes": frozenset(Scope), "now": datetime.now(UTC), "requests_per_minute": limit}
        change(path, lambda held: added(held, client, ApiKey.new(), **new))

    add("desk", None)
    assert problems_of(several) == []
    add("mill", 5)
    (problem,) = problems_of(several)
    assert problem.startswith("WORKERS: 2 processes")
    assert problems_of(several | {"WORKERS": "1"}) == problems_of(several | {"REDIS_URL": "redis://127.0.0.1:6379/0"}) == []


def test_the_documented_table_is_the_codes():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert settings_table() in page, "docs/settings.md: put in what `python -m serve settings` prints"


def test_every_setting_is_described_and_its_default_can_be_given():
    for name, field in Settings.model_fields.items():
        assert field.description, name
    told = {row[0]: row[2] for row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| ", settings_table(), re.MULTILINE)}
    assert list(told) == NAMES
    assert load_settings({name: default.strip("`") for name, default in told.items()}).model_dump() == load_settings({}).model_dump()


def run(*words, **environment):
    parser = argparse.ArgumentParser()
    add_verbs(parser.add_subparsers())
    options = parser.parse_args(["settings", *words])
    options.environment = environment
    return options.run(options)


def test_the_verb_prints_the_table_or_checks_the_environment(capsys):
    assert run(PORT="x") == 0
    assert capsys.readouterr().out.strip() == settings_table()
    assert run("--check") == 0
    assert capsys.readouterr().out == "all settings are usable\n"
    assert run("--check", PORT="x", WORKERS="0") == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_docs_name_every_variable_that_is_read():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in [*NAMES, *sorted(OTHERS)] if f"`{name}`" not in page] == []
    assert all((ROOT / "docs" / link).exists() for link in re.findall(r"\]\(([\w-]+\.md)\)", page))
