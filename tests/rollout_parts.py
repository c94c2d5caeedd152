"""What the tests of releases share: folders that verify, LLMs behind them, and processes that follow one plan."""

import asyncio
import json
import shutil
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

from orchestrator.connect import open_classifier
from orchestrator.engine import Orchestrator, standard_workflows
from orchestrator.release import champion_folder, load_release, manifest_id
from orchestrator.rollout.releases import Releases
from orchestrator.rollout.shelf import Shelf
from orchestrator.testing import ScriptedLLM
from orchestrator.workflows.service_action import LocalOrders

CHAMPION = load_release()
CODES = list(CHAMPION.prompt.codes.values())
INFORMATIONAL, SERVICE, SAFETY = (0.998, 0.001, 0.001), (0.001, 0.998, 0.001), (0.001, 0.001, 0.998)
CLASSIFIER = open_classifier(CHAMPION, ScriptedLLM(dict))  # of every release here: they differ in their promotion alone
WORKFLOWS = standard_workflows(LocalOrders({}))


def saying(shares, *, delay_s=0.0):
    return ScriptedLLM(lambda _: dict(zip(CODES, shares, strict=True)), delay_s=delay_s)


class Hanging:
    """An LLM that never answers. ``asked`` counts, ``ended`` counts who gave up."""

    def __init__(self):
        self.asked = self.ended = 0

    async def __call__(self, request, /):
        self.asked += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def make_release(folder, note="another"):
    """Make a release that verifies in a folder and return its id; it differs from the champion in its promotion alone."""
    shutil.copytree(champion_folder(), folder)
    fields = json.loads((folder / "release.json").read_text()) | {"promoted_at": note}
    (folder / "release.json").write_text(json.dumps(fields | {"id": manifest_id(fields)}))
    return load_release(folder).manifest.id


def break_release(folder):
    with (folder / "local.json").open("a") as file:
        file.write(" ")


class Upstream:
    """The LLM of each release by its id, and what is open of them: ``opened`` and ``closed`` count."""

    def __init__(self, default=None, **llms):
        self.default, self.llms = default or saying(INFORMATIONAL), llms
        self.opened, self.closed = Counter(), Counter()

    @asynccontextmanager
    async def __call__(self, release):
        name = release.manifest.id
        self.opened[name] += 1
        try:
            yield replace(CLASSIFIER, llm=self.llms.get(name, self.default))
        finally:
            self.closed[name] += 1

    def is_open(self):
        return {name for name in self.opened if self.opened[name] > self.closed[name]}


def new_releases(ledger, upstream, data_dir, *folders, **options):
    """Return the releases of one process; they are followed by hand unless ``every_s`` says otherwise."""
    options = {"every_s": 3600.0} | options
    return Releases(CHAMPION.manifest.id, Shelf.beside(data_dir, *folders), upstream, ledger, **options)


def orchestrator_of(releases):
    return Orchestrator(CHAMPION.manifest.id, releases.active.classifier, WORKFLOWS, releases.ledger, releases=releases)


async def until(condition, within_s=20.0):
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is waited for tells nobody
            await asyncio.sleep(0.005)
