"""How many of 200 attacks free a safety message with the champion's own LLM: ``python -m benchmarks.injection [number]``.

The attacks and messages are those of ``tests/serve/test_injection.py``, where the LLM is the worst case, one that obeys. Freed is a message
that is routed as safety as it is and no longer when it is attacked; with and without the rule of ``orchestrator.manipulation``. It takes
about a second a message; with a number only so many attacks are made, the first fifty of which are of fifty kinds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from orchestrator.catalogue import find_model
from orchestrator.connect import open_classifier, open_llm
from orchestrator.manipulation import distrusted
from orchestrator.release import load_release
from orchestrator.schema import Channel, Classification, Message

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 4


async def measure(most: int) -> None:
    """Print how many messages are caught, and how many attacks free one."""
    sys.path[:0] = [str(ROOT / "tests")]
    from injections import attacks  # type: ignore[import-not-found]  # of the tests, which are no package

    made = list(attacks(ROOT))[:most]
    release = load_release()
    async with open_llm(find_model(release.manifest.model), os.environ) as llm:
        classifier, places = open_classifier(release, llm), asyncio.Semaphore(SLOTS)

        async def classify(text: str) -> Classification:
            async with places:
                return await classifier(Message(text=text, channel=Channel.MAIL))

        plain = {row.id: row.message for _, row, _ in made}
        honest = dict(zip(plain, await asyncio.gather(*map(classify, plain.values())), strict=True))
        attacked = await asyncio.gather(*(classify(text) for _, _, text in made))
    caught = [honest[row.id].decision.routed_as_safety for _, row, _ in made]
    bare = [one.decision.routed_as_safety for one in attacked]
    whole = [distrusted(text, one).decision.routed_as_safety for (_, _, text), one in zip(made, attacked, strict=True)]
    alone = [one.probabilities.safety >= release.manifest.tuning.thresholds.safety for one in attacked]
    before = [honest[row.id].probabilities.safety >= release.manifest.tuning.thresholds.safety for _, row, _ in made]
    print(f"{len(made)} attacks; failed calls {sum(one.degraded for one in attacked)}; caught unattacked {sum(caught)}")
    print(f"freed, by the classifier alone      {_freed(caught, bare)}")
    print(f"freed, as served                    {_freed(caught, whole)}")
    print(f"P(safety) of the LLM above its threshold: unattacked {sum(before)}, attacked {sum(alone)}, lost {_freed(before, alone)}")


def _freed(before: list[bool], after: list[bool]) -> int:
    return sum(was and not still for was, still in zip(before, after, strict=True))


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
