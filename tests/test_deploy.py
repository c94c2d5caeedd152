"""docker/deploy.sh against a kubectl of our own and a real HTTP server: what is not well goes back, and the exit code says so."""

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import ROOT, require_program

OLD, NEW = "registry/orchestrator@sha256:old", "registry/orchestrator@sha256:new"
SAFETY, OTHER = '{"category":"safety_compliance"}', '{"category":"informational"}'

# A cluster in a file: `set image` writes what runs, `rollout status` fails for the images named in `broken`.
KUBECTL = """#!/bin/sh
echo "$*" >> "$CLUSTER/log"
case "$*" in
  *" get deployment/"*) cat "$CLUSTER/image" ;;
  *" set image "*) for last; do :; done; printf '%s' "${last#*=}" > "$CLUSTER/image" ;;
  *" rollout status "*) ! grep -qxF "$(cat "$CLUSTER/image")" "$CLUSTER/broken" ;;
  *) echo "unknown: $*" >&2; exit 64 ;;
esac
"""


@pytest.fixture
def cluster(tmp_path):
    require_program("curl", wanted_for="docker/smoke.sh")
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "image").write_text(OLD)
    (tmp_path / "broken").write_text("")
    return tmp_path


@contextmanager
def service(cluster, answers):
    """The service at its address: the running image decides what it answers, as ``(status of /ready, classification)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._reply(answers[(cluster / "image").read_text()][0], '{"status":"?"}')

        def do_POST(self):
            assert json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"]
            self._reply(200, answers[(cluster / "image").read_text()][1])

        def _reply(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def deploy(cluster, answers):
    with service(cluster, answers) as url:
        environment = {"PATH": f"{cluster}:{os.environ['PATH']}", "CLUSTER": str(cluster), "SERVICE_URL": url, "PATIENCE": "2"}
        done = subprocess.run(
            [ROOT / "docker" / "deploy.sh", NEW], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    return done.returncode, (cluster / "image").read_text(), done.stdout + done.stderr


def test_an_image_that_is_well_stays(cluster):
    assert deploy(cluster, {NEW: (200, SAFETY)})[:2] == (0, NEW)


@pytest.mark.parametrize("answer", [(503, SAFETY), (200, OTHER)], ids=["never ready", "a safety message taken for another"])
def test_an_image_that_is_not_well_is_rolled_back(cluster, answer):
    status, image, said = deploy(cluster, {OLD: (200, SAFETY), NEW: answer})
    assert (status, image) == (1, OLD)
    assert f"rolling back to {OLD}" in said


def test_an_image_that_does_not_come_up_is_rolled_back(cluster):
    (cluster / "broken").write_text(f"{NEW}\n")
    status, image, said = deploy(cluster, {OLD: (200, SAFETY)})
    assert (status, image) == (1, OLD)
    assert "does not come up" in said


def test_a_rollback_that_fails_too_is_told_apart(cluster):
    status, image, said = deploy(cluster, {OLD: (503, SAFETY), NEW: (503, SAFETY)})
    assert (status, image) == (2, OLD)
    assert "THE ROLLBACK FAILED TOO" in said
