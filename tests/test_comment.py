""".github/comment.cjs in Node, with a GitHub of our own: what foreign code may make of the one comment, and what not."""

import json
import subprocess

import pytest
from support import ROOT, require_program

MARKER = "<!-- contact-centre-gate -->"
RUN = {"id": 7, "head_sha": "abc", "head_branch": "topic", "head_repository": {"owner": {"login": "stranger"}}}

# GitHub answers from `world` and notes what was asked of it.
HARNESS = """
const world = JSON.parse(process.argv[2]), asked = [];
const note = (name, answer) => async (options) => { asked.push([name, options]); return { data: answer }; };
const github = {
  rest: {
    actions: { listWorkflowRunArtifacts: note("artifacts", { artifacts: world.artifacts ?? [] }) },
    pulls: { list: note("pulls", world.pulls ?? []) },
    issues: { listComments: {}, updateComment: note("update"), createComment: note("create") },
  },
  paginate: async () => world.comments ?? [],
};
const core = { info() {}, setFailed: (why) => asked.push(["failed", why]), setOutput: (name, value) => asked.push([name, value]) };
const context = { repo: { owner: "us", repo: "it" }, payload: { workflow_run: world.run } };
require(process.argv[1])[world.verb]({ github, context, core, environment: world.environment })
  .then(() => console.log(JSON.stringify(asked)));
"""


def call(verb, **world):
    node = require_program("node", wanted_for="the comment's script")
    arguments = [node, "-e", HARNESS, str(ROOT / ".github" / "comment.cjs"), json.dumps({"verb": verb, "run": RUN, **world})]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))


@pytest.fixture
def report(tmp_path):
    def write(text):
        (tmp_path / "gate.md").write_text(text)
        return {"PULL": "5", "REPORT": str(tmp_path / "gate.md")}

    return write


def test_the_pull_request_is_the_one_at_the_commit_of_the_run():
    pulls = [{"number": 4, "head": {"sha": "older"}}, {"number": 5, "head": {"sha": "abc"}}]
    asked = call("find", artifacts=[{"size_in_bytes": 10}], pulls=pulls)
    assert asked["pull"] == 5
    assert asked["pulls"]["head"] == "stranger:topic"
    assert "pull" not in call("find", artifacts=[{"size_in_bytes": 10}], pulls=pulls[:1])


def test_no_report_or_one_too_large_is_not_fetched():
    pulls = [{"number": 5, "head": {"sha": "abc"}}]
    assert "pull" not in call("find", artifacts=[], pulls=pulls)
    asked = call("find", artifacts=[{"size_in_bytes": 10**9}], pulls=pulls)
    assert "failed" in asked
    assert "pull" not in asked


def test_there_is_one_comment_and_it_is_kept_up_to_date(report):
    strangers = {"id": 1, "user": {"login": "stranger"}, "body": f"{MARKER} mine"}
    ours = {"id": 2, "user": {"login": "github-actions[bot]"}, "body": f"{MARKER} old"}
    first = call("comment", comments=[strangers], environment=report(f"{MARKER}\nPASS"))
    assert first["create"]["issue_number"] == 5
    assert first["create"]["body"].startswith(MARKER)
    assert first["create"]["body"].count("contact-centre-gate") == 1
    second = call("comment", comments=[strangers, ours], environment=report("FAIL"))
    assert second["update"]["comment_id"] == 2
    assert "create" not in second


def test_a_report_calls_nobody_loads_nothing_and_hides_nothing(report):
    text = "@everyone closes #12 ![x](http://a/b.png) <img src=http://a/c.png> <!-- hidden -->\n# Title"
    body = call("comment", environment=report(text))["create"]["body"].removeprefix(MARKER)
    for harmful in ("@everyone", "#12", "![", "<img", "<!--"):
        assert harmful not in body
    assert "# Title" in body


def test_a_report_of_any_length_fits_or_is_refused(report):
    assert len(call("comment", environment=report("x" * 200_000))["create"]["body"]) < 65_536
    assert "failed" in call("comment", environment=report("x" * 1_000_001))
    assert "failed" in call("comment", environment={"PULL": "5", "REPORT": "/none"})
