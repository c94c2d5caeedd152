"""Dashboards and alerts ask for what the service tells; Prometheus itself reads the rules, the configuration and the service."""

import asyncio
import json
import re
import subprocess
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support import ROOT, absent, free_port, running

from orchestrator.testing_outcomes import make_outcome
from serve.telemetry import Telemetry

PROMETHEUS = ROOT / "docker/prometheus"
TESTS = sorted(PROMETHEUS.glob("*_test.yml"))
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/orchestrator.json").read_text())
GROUPS = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in GROUPS if "alert" in rule]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
WORDS = {"sum", "rate", "by", "max", "min", "increase", "abs", "and", "or", "vector", "histogram_quantile", "absent", "up"}


@pytest.fixture(scope="module")
def programs():
    """The folder of promtool and prometheus."""
    found = subprocess.run([ROOT / ".ci/promtool"], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else absent(found.stderr.strip())


def promtool(programs, *arguments):
    done = subprocess.run([f"{programs}/promtool", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def names_in(expression):
    """The metrics that an expression asks for."""
    bare = re.sub(r"\boffset \w+|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)|\"[^\"]*\"", " ", expression)
    return set(re.findall(r"[a-z_][a-z0-9_:]*", bare, re.IGNORECASE)) - WORDS - set(re.findall(r"\d+[smhd]", bare)) - {"e9"}


def told_names():
    """Every name the service tells, as Prometheus stores it, and every name of a recording rule."""
    body, _ = asyncio.run(Telemetry().scrape())
    names = {rule["record"] for rule in GROUPS if "record" in rule}
    for family in text_string_to_metric_families(body.decode()):
        name = family.name
        names |= {
            "counter": {f"{name}_total"},
            "histogram": {f"{name}_bucket", f"{name}_sum", f"{name}_count"},
        }.get(family.type, {name})
    return names


def test_every_metric_that_a_panel_or_an_alert_asks_for_is_told():
    for expression in [*EXPRESSIONS, *(rule["expr"] for rule in GROUPS)]:
        assert names_in(expression) <= told_names(), expression


def test_the_panels_lie_beside_each_other_and_have_numbers_of_their_own():
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & places, panel["title"]
        assert max(x for x, _ in mine) < 24
        places |= mine
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_ask_the_provisioned_data_source():
    sources = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"] for source in sources}


def test_every_alert_says_how_grave_it_is_what_is_wrong_and_what_to_do_and_the_documentation_knows_it():
    documented = (ROOT / "docs/monitoring.md").read_text()
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert set(alert["annotations"]) == {"summary", "action"}
        assert f"`{alert['alert']}`" in documented


def test_prometheus_accepts_the_configuration_and_the_rules_and_each_alert_comes_when_it_should(programs):
    for arguments in (
        ("check", "config", str(PROMETHEUS / "prometheus.yml")),
        ("check", "rules", str(PROMETHEUS / "rules.yml")),
        ("test", "rules", *map(str, TESTS)),
    ):
        code, told = promtool(programs, *arguments)
        assert code == 0, told
    tested = "".join(path.read_text() for path in TESTS)
    assert [alert["alert"] for alert in ALERTS if f'"{alert["alert"]}"' not in tested] == []


def test_prometheus_can_read_every_expression_of_the_dashboard(programs, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")} for number, expression in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    code, told = promtool(programs, "check", "rules", str(path))
    assert code == 0, told


def test_prometheus_finds_nothing_to_mend_in_names_types_and_descriptions(programs):
    body, _ = asyncio.run(Telemetry().scrape())
    done = subprocess.run([f"{programs}/promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_itself_scrapes_the_metrics_with_their_exemplars(programs, tmp_path, scraped_port):
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "300ms", "scrape_timeout": "300ms", "evaluation_interval": "300ms"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{scraped_port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text())
    port = free_port()
    command = [f"{programs}/prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=error"]
    with running(command, f"http://127.0.0.1:{port}/-/ready") as _, closing(httpx2.Client(base_url=f"http://127.0.0.1:{port}")) as asked:
        until = time.monotonic() + 30
        while not (found := query(asked, "query", query="classification_category_total == 1")["result"]):
            assert time.monotonic() < until, "nothing was scraped"
            time.sleep(0.1)
        assert found[0]["metric"]["category"] == "safety_compliance"
        marks = query(asked, "query_exemplars", query="classification_category_total", start="0", end=str(time.time() + 60))
    assert marks[0]["exemplars"][0]["labels"] == {"request_id": "request-1"}


def query(client, which, **parameters):
    return client.get(f"/api/v1/{which}", params=parameters).raise_for_status().json()["data"]


@pytest.fixture
def scraped_port():
    """A port where a service's metrics are told that has classified one safety message."""
    telemetry = Telemetry()
    telemetry.observe(make_outcome("request-1"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body, content_type = asyncio.run(telemetry.scrape(self.headers.get("Accept", "")))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
