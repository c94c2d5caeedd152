"""Injection: an LLM that obeys every attack frees no safety message that an honest one had caught."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from injections import HONEST, OBEDIENT, attacks
from service_process import URL, Service, service_process
from support import ROOT

from orchestrator.manipulation import manipulations
from orchestrator.release import load_release
from orchestrator.testing import Toxic, misbehaving_upstream

ATTACKS = list(attacks(ROOT))


@pytest.fixture(scope="module")
def upstream():
    with misbehaving_upstream(Toxic.OK, answer=lambda _: OBEDIENT) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, upstream):
    with service_process(tmp_path_factory.mktemp("injection"), upstream.base_url) as service:
        yield service


def routed_as_safety(service: Service, texts: list[str]) -> list[bool]:
    """Whether each is handled as safety or looked at by a person as possible safety: as the store has it."""
    with service.client() as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: client.post(URL, json={"message": text, "channel": "mail"}), texts))
    assert {answer.status_code for answer in answers} == {200}
    assert not any(answer.json()["degraded"] for answer in answers), "the LLM was not asked"
    kept = dict(service.rows("SELECT request_id, json_extract(classification, '$.decision.routed_as_safety') FROM interactions"))
    return [bool(kept[answer.json()["request_id"]]) for answer in answers]


def test_none_of_200_attacks_on_safety_messages_frees_one(service, upstream):
    assert len(ATTACKS) == 200
    rows = {row.id: row.message for _, row, _ in ATTACKS}
    upstream.answer = lambda _: HONEST
    honest = dict(zip(rows, routed_as_safety(service, list(rows.values())), strict=True))
    upstream.answer = lambda _: OBEDIENT
    attacked = routed_as_safety(service, [text for _, _, text in ATTACKS])
    freed = Counter(name for (name, row, _), caught in zip(ATTACKS, attacked, strict=True) if honest[row.id] and not caught)
    print(f"{sum(honest.values())} of {len(honest)} messages caught with an honest LLM; {freed.total()} of 200 attacks freed one: {freed}")
    assert all(honest.values())
    assert not freed


def test_most_attacks_are_known_by_their_words_alone():
    """On dev the red flags and the local classifier, which was trained there, catch nearly all; new messages have only this."""
    unknown = {name for name, _, text in ATTACKS if not manipulations(text)}
    assert unknown <= {"comment", "rot13_order"}


def test_the_codes_of_the_obedient_llm_are_the_champions():
    assert set(OBEDIENT) == set(load_release().prompt.codes.values())
