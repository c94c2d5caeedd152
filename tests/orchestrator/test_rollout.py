import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from rollout_parts import (
    CHAMPION,
    INFORMATIONAL,
    SAFETY,
    SERVICE,
    Hanging,
    Upstream,
    break_release,
    make_release,
    new_releases,
    orchestrator_of,
    saying,
    until,
)
from scipy.stats import binom

from orchestrator.connect import open_released
from orchestrator.errors import CatalogueError, ConflictError, OrchestratorError, ReleaseError, StoreUnavailableError
from orchestrator.rollout.guard import Guard, Limits
from orchestrator.rollout.plan import Challenge, Mode, Plan, in_share
from orchestrator.rollout.shelf import Shelf, UnknownReleaseError
from orchestrator.schema import Category, FailureKind, Message
from orchestrator.store.comparisons import Pair
from orchestrator.store.database import writing
from orchestrator.store.ledger import Ledger
from orchestrator.store.retention import RetentionDays, expire
from orchestrator.testing import FaultyLLM

OWN = CHAMPION.manifest.id
HOURS = Message(text="what are your opening hours?")


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "installation"


@pytest.fixture
def other(data_dir):
    """A release beside the champion, on the shelf of the installation."""
    return make_release(data_dir / "releases" / "other")


def shadow_of(release, share=1.0):
    return Challenge(release=release, mode=Mode.SHADOW, share=share)


def canary_of(release, share=1.0):
    return Challenge(release=release, mode=Mode.CANARY, share=share)


def rows(ledger, table):
    with ledger.engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()


# --- which clients and requests


def test_a_share_of_ten_thousand_clients_is_that_share_within_binomial_bounds():
    for release in ("0123456789ab", "ba9876543210"):
        for share in (0.0, 0.01, 0.1, 0.5, 1.0):
            chosen = sum(in_share(share, release=release, key=f"client-{number}") for number in range(10_000))
            low, high = binom.ppf([1e-6, 1 - 1e-6], 10_000, share) if 0 < share < 1 else (10_000 * share,) * 2
            assert low <= chosen <= high


def test_a_larger_share_keeps_the_clients_of_a_smaller_one_and_another_release_gets_others():
    def clients(share, release="0123456789ab"):
        return {number for number in range(2_000) if in_share(share, release=release, key=str(number))}

    assert clients(0.05) < clients(0.2) < clients(0.6)
    assert len(clients(0.2) & clients(0.2, "ba9876543210")) < 150  # 80 are expected of two independent fifths


def test_a_client_has_the_same_release_for_all_its_messages_and_after_a_restart(sqlite, data_dir, other):
    clients = [f"client-{number}" for number in range(40)]

    async def answers():
        async with new_releases(sqlite, Upstream(), data_dir, configured=canary_of(other, 0.3)) as releases:
            picked = [releases.pick(client).release for client in clients]
            subject = orchestrator_of(releases)
            for number in (0, 0, 1, 2):
                assert (await subject.handle(HOURS, client=clients[number])).release == picked[number]
            return picked

    first, again = asyncio.run(answers()), asyncio.run(answers())
    assert first == again
    assert set(first) == {OWN, other}


# --- the shadow


def test_a_shadow_that_hangs_delays_no_answer_and_changes_none(sqlite, data_dir, other):
    async def scenario():
        hanging = Hanging()
        async with new_releases(sqlite, Upstream(**{other: hanging}), data_dir, configured=shadow_of(other), concurrency=3) as releases:
            subject = orchestrator_of(releases)
            async with asyncio.timeout(20):
                outcomes = [await subject.handle(HOURS) for _ in range(10)]
            await until(lambda: hanging.asked == 3)
            assert (releases.shadow.in_use, releases.shadow.dropped) == (3, 7)
        assert hanging.ended == 3
        return outcomes

    outcomes = asyncio.run(scenario())
    assert {outcome.release for outcome in outcomes} == {OWN}
    assert {outcome.classification.decision.category for outcome in outcomes} == {Category.INFORMATIONAL}


def test_a_shadow_that_is_too_late_is_compared_as_the_degraded_answer_it_would_have_been(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream(**{other: Hanging()})
        async with new_releases(sqlite, upstream, data_dir, configured=shadow_of(other), deadline_s=0.05) as releases:
            await orchestrator_of(releases).handle(HOURS, request_id="m1")
            await until(lambda: not releases.shadow.in_use)

    asyncio.run(scenario())
    (found,) = sqlite.comparisons(Pair(OWN, other))
    assert (found.champion.degraded, found.challenger.degraded) == (False, True)


class Broken:
    async def __call__(self, request, /):
        raise RuntimeError(f"a bug, and this is what the customer wrote: {request.turns[-1].content}")


def test_a_bug_in_the_shadow_fails_no_answer_and_tells_nothing_of_the_message(sqlite, data_dir, other, caplog):
    async def scenario():
        async with new_releases(sqlite, Upstream(**{other: Broken()}), data_dir, configured=shadow_of(other)) as releases:
            outcome = await orchestrator_of(releases).handle(HOURS)
            await until(lambda: releases.shadow.failed == 1)
            return outcome

    assert asyncio.run(scenario()).release == OWN
    assert "opening hours" not in caplog.text
    assert "RuntimeError" in caplog.text


def test_what_was_compared_is_told_and_stored_without_a_word_of_the_message(ledger, data_dir, other):
    told = []

    async def scenario():
        upstream = Upstream(**{other: saying(SAFETY)})
        options = {"configured": shadow_of(other), "on_compared": lambda *what: told.append(what)}
        async with new_releases(ledger, upstream, data_dir, **options) as releases:
            await orchestrator_of(releases).handle(HOURS, request_id="m1")
            await until(lambda: told)

    asyncio.run(scenario())
    assert told == [(False, Category.INFORMATIONAL, Category.SAFETY_COMPLIANCE)]
    (found,) = ledger.comparisons(Pair(OWN, other))
    assert (found.request_id, found.mode, found.champion.release, found.challenger.release) == ("m1", "shadow", OWN, other)
    assert (found.champion.routed_as_safety, found.challenger.routed_as_safety) == (False, True)
    assert ledger.agreement(Pair(OWN, other)) == (1, 0)
    assert ledger.compared_pairs() == [Pair(OWN, other)]
    assert "opening" not in str(rows(ledger, "comparisons"))


def test_only_the_share_of_the_requests_is_compared(sqlite, data_dir, other):
    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir, configured=shadow_of(other, 0.5), concurrency=50) as releases:
            subject = orchestrator_of(releases)
            for number in range(12):
                await subject.handle(HOURS, request_id=f"m{number}")
            await until(lambda: not releases.shadow.in_use)

    asyncio.run(scenario())
    expected = {f"m{number}" for number in range(12) if in_share(0.5, release=other, key=f"m{number}")}
    assert {found.request_id for found in sqlite.comparisons(Pair(OWN, other))} == expected
    assert 0 < len(expected) < 12


class Unwilling(Ledger):
    """A ledger that takes no comparison."""

    def compare(self, found):
        raise StoreUnavailableError("no")


def test_comparisons_wait_for_a_store_that_takes_nothing(sqlite, data_dir, other):
    async def scenario():
        unwilling = Unwilling(sqlite.engine, sqlite.environment)
        async with new_releases(unwilling, Upstream(), data_dir, configured=shadow_of(other)) as releases:
            await orchestrator_of(releases).handle(HOURS, request_id="m1")
            await until(lambda: not releases.shadow.in_use)
            with pytest.raises(StoreUnavailableError):
                await releases.flush()
            releases.ledger = sqlite
            await releases.flush()
        unwilling.close()

    asyncio.run(scenario())
    assert [found.request_id for found in sqlite.comparisons(Pair(OWN, other))] == ["m1"]


# --- forgetting


def compared(ledger, data_dir, other, *messages):
    """Let both releases decide messages; return the releases' comparisons before they are written."""

    async def scenario():
        async with new_releases(ledger, Upstream(), data_dir, configured=shadow_of(other), concurrency=9) as releases:
            for request_id, customer in messages:
                await orchestrator_of(releases).handle(Message(text="hello", metadata={"customer_id": customer}), request_id=request_id)
            await until(lambda: not releases.shadow.in_use)

    asyncio.run(scenario())


def test_an_erasure_forgets_what_was_compared_about_a_customer_also_what_is_written_only_then(ledger, data_dir, other):
    compared(ledger, data_dir, other, ("m1", "C-1"), ("m2", "C-2"))
    late = list(ledger.comparisons(Pair(OWN, other)))
    ledger.erase("C-1", "the privacy officer")
    assert [row["request_id"] for row in rows(ledger, "comparisons")] == ["m2"]
    assert ledger.compare(late[:1]) == 0
    assert [row["request_id"] for row in rows(ledger, "comparisons")] == ["m2"]
    assert ledger.verify() == []


def test_comparisons_expire_after_their_own_days(sqlite, data_dir, other):
    compared(sqlite, data_dir, other, ("m1", "C-1"))

    def days_later(days):
        with writing(sqlite.engine) as connection:
            return expire(connection, RetentionDays(), sqlite.clock() + timedelta(days=days)).rows["comparisons"]

    assert (days_later(89), days_later(91)) == (0, 1)


# --- the canary


def test_a_canary_answers_its_clients_and_the_champion_is_asked_afterwards(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream(**{other: saying(SERVICE)})
        async with new_releases(sqlite, upstream, data_dir, configured=canary_of(other)) as releases:
            outcome = await orchestrator_of(releases).handle(HOURS, request_id="m1", client="desk")
            await until(lambda: not releases.shadow.in_use)
            return outcome

    outcome = asyncio.run(scenario())
    assert (outcome.release, outcome.classification.decision.category) == (other, Category.SERVICE_ACTION)
    assert rows(sqlite, "interactions")[0]["release"] == other
    (found,) = sqlite.comparisons(Pair(OWN, other))
    assert (found.mode, found.champion.category, found.challenger.category) == ("canary", Category.INFORMATIONAL, Category.SERVICE_ACTION)


def test_a_canary_whose_llm_fails_is_stopped_here_at_once_and_everywhere(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream(**{other: FaultyLLM(FailureKind.SERVER)})
        async with (
            new_releases(sqlite, upstream, data_dir, limits=Limits(min_answers=5)) as here,
            new_releases(sqlite, Upstream(), data_dir) as there,
        ):
            await here.try_out(canary_of(other), by="Ann")
            await there.refresh()
            assert there.pick("desk").release == other
            answers = Counter([(await orchestrator_of(here).handle(HOURS, client="desk")).release for _ in range(8)])
            await until(lambda: here.challenge is None)
            await there.refresh()
            assert (there.challenge, there.pick("desk").release) == (None, OWN)
            assert there.plan.stopped == (other,)
            return answers

    assert asyncio.run(scenario()) == {other: 5, OWN: 3}
    events = [event for _, event in sqlite.events() if event["kind"] == "release_switched"]
    assert [(event["action"], event["by"]) for event in events] == [("challenge", "Ann"), ("stop", "the guard of the canary")]
    assert "5 of its last 5 answers were degraded (100%)" in events[1]["reason"]
    assert sqlite.verify() == []


def test_a_canary_that_misses_what_the_champion_routes_as_safety_is_stopped(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream(saying(SAFETY), **{other: saying(INFORMATIONAL)})
        options = {"configured": canary_of(other), "limits": Limits(missed_safety=3), "concurrency": 9}
        async with new_releases(sqlite, upstream, data_dir, **options) as releases:
            for _ in range(3):
                assert (await orchestrator_of(releases).handle(HOURS, client="desk")).release == other
            await until(lambda: releases.challenge is None)
            return (await orchestrator_of(releases).handle(HOURS, client="desk")).release

    assert asyncio.run(scenario()) == OWN
    assert "the champion routes 3 messages more as safety" in rows(sqlite, "rollouts")[0]["reason"]


def test_an_outage_of_both_stops_no_canary_and_an_old_one_is_no_longer_counted():
    now = [1000.0]
    guard = Guard(clock=lambda: now[0])
    said = [guard.answered(by_canary=number % 2 == 0, degraded=True) for number in range(100)]
    assert set(said) == {None}
    now[0] += 300
    for _ in range(50):
        assert guard.answered(by_canary=True, degraded=False) is None
        guard.answered(by_canary=False, degraded=False)
    told = [guard.answered(by_canary=True, degraded=True) for _ in range(13)]
    assert told[:12] == [None] * 12  # a fifth, of 62
    assert told[12] == "13 of its last 63 answers were degraded (21%), of the champion's 0 of 50 (0%)"


# --- switching


def test_under_load_a_switch_fails_nobody_mixes_nothing_and_closes_the_old_llm_only_after_its_last_request(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream(**{OWN: saying(INFORMATIONAL, delay_s=0.02), other: saying(SERVICE)})
        async with new_releases(sqlite, upstream, data_dir) as releases:
            subject, outcomes, going = orchestrator_of(releases), [], True

            async def client(number):
                while going:
                    outcomes.append(await subject.handle(HOURS, client=str(number)))

            clients = [asyncio.create_task(client(number)) for number in range(8)]
            await until(lambda: len(outcomes) >= 16)
            await releases.switch(other, by="Ann")
            at_switch = len(outcomes)
            await until(lambda: upstream.is_open() == {other})
            await until(lambda: len(outcomes) >= at_switch + 16)
            await releases.rollback(by="Ann")
            await until(lambda: upstream.is_open() == {OWN})
            await until(lambda: outcomes[-1].release == OWN)
            going = False
            await asyncio.gather(*clients)
            return outcomes

    outcomes = asyncio.run(scenario())
    seen = {(outcome.release, outcome.classification.decision.category, outcome.classification.degraded) for outcome in outcomes}
    assert seen == {(OWN, Category.INFORMATIONAL, False), (other, Category.SERVICE_ACTION, False)}
    assert len(rows(sqlite, "interactions")) == len(outcomes)
    assert sqlite.verify() == []


def test_the_llm_of_a_release_is_closed_with_it(sqlite, data_dir, other):
    closed = []

    @asynccontextmanager
    async def llm_of(release):
        yield saying(SERVICE if release.manifest.id == other else INFORMATIONAL)
        closed.append(release.manifest.id)

    async def scenario():
        async with new_releases(sqlite, lambda release: open_released(release, llm_of(release)), data_dir) as releases:
            await releases.switch(other, by="Ann")
            await until(lambda: closed == [OWN])
            return (await orchestrator_of(releases).handle(HOURS)).classification.decision.category

    assert asyncio.run(scenario()) == Category.SERVICE_ACTION
    assert closed == [OWN, other]


def test_a_request_that_began_before_a_switch_ends_on_its_release(sqlite, data_dir, other):
    async def scenario():
        gate = asyncio.Event()
        inner = saying(INFORMATIONAL)

        async def held(request, /):
            await gate.wait()
            return await inner(request)

        upstream = Upstream(**{OWN: held})
        async with new_releases(sqlite, upstream, data_dir) as releases:
            begun = asyncio.create_task(orchestrator_of(releases).handle(HOURS))
            await until(lambda: releases.active.in_use == 1)
            await releases.switch(other, by="Ann")
            meanwhile = await orchestrator_of(releases).handle(HOURS)
            assert upstream.is_open() == {OWN, other}
            gate.set()
            outcome = await begun
            await until(lambda: upstream.is_open() == {other})
            return outcome, meanwhile

    outcome, meanwhile = asyncio.run(scenario())
    assert (outcome.release, outcome.classification.degraded, meanwhile.release) == (OWN, False, other)


def test_a_switch_and_the_way_back_reach_another_process_on_the_same_database(ledger, data_dir, other):
    async def scenario():
        twin = Ledger.at(ledger.engine.url.render_as_string(hide_password=False), ledger.environment)
        async with new_releases(ledger, Upstream(), data_dir) as here, new_releases(twin, Upstream(), data_dir) as there:
            seen = []
            for step in (here.switch(other, by="Ann"), there.rollback(by="Ben"), here.rollback(by="Ann")):
                plan = await step
                await here.refresh()
                await there.refresh()
                seen.append((plan.active, here.active.release, there.active.release))
        twin.close()
        async with new_releases(ledger, Upstream(), data_dir) as restarted:
            seen.append(restarted.active.release)
        return seen

    assert asyncio.run(scenario()) == [(other,) * 3, (OWN,) * 3, (other,) * 3, other]
    told = [(event["action"], event["by"], event["active"]) for _, event in ledger.events()]
    assert told == [("switch", "Ann", other), ("rollback", "Ben", OWN), ("rollback", "Ann", other)]
    assert ledger.verify() == []


def test_processes_follow_by_themselves(sqlite, data_dir, other):
    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir, every_s=0.02) as here:
            async with new_releases(sqlite, Upstream(), data_dir) as there:
                await there.switch(other, by="Ann")
            await until(lambda: here.active.release == other)

    asyncio.run(scenario())


def test_of_two_who_switch_to_the_same_release_at_once_one_is_told_that_it_serves_already(sqlite, data_dir, other):
    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir) as here, new_releases(sqlite, Upstream(), data_dir) as there:
            return await asyncio.gather(here.switch(other, by="Ann"), there.switch(other, by="Ben"), return_exceptions=True)

    assert {type(one) for one in asyncio.run(scenario())} == {Plan, ConflictError}


def test_nobody_switches_without_a_name(sqlite, data_dir, other):
    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir) as releases:
            with pytest.raises(OrchestratorError, match="say who"):
                await releases.switch(other, by=" ")
            return releases.active.release

    assert asyncio.run(scenario()) == OWN


def test_a_release_that_was_changed_is_refused_with_the_reason_and_nothing_is_decided(sqlite, data_dir, other):
    break_release(data_dir / "releases" / "other")

    async def scenario():
        upstream = Upstream()
        async with new_releases(sqlite, upstream, data_dir) as releases:
            for step in (releases.switch(other, by="Ann"), releases.try_out(shadow_of(other), by="Ann")):
                with pytest.raises(ReleaseError, match=r"local\.json was changed: SHA-256"):
                    await step
            with pytest.raises(UnknownReleaseError, match="there is no release 'ffffffffffff' here; known: "):
                await releases.switch("ffffffffffff", by="Ann")
            assert (releases.active.release, releases.challenge, upstream.is_open()) == (OWN, None, {OWN})

    asyncio.run(scenario())
    assert rows(sqlite, "rollouts") == []


def test_a_release_whose_model_cannot_be_opened_is_refused(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream()

        def opening(release):
            if release.manifest.id == other:
                raise CatalogueError("its key is not set")
            return upstream(release)

        async with new_releases(sqlite, opening, data_dir) as releases:
            with pytest.raises(CatalogueError):
                await releases.switch(other, by="Ann")
            return releases.active.release

    assert asyncio.run(scenario()) == OWN


def test_a_process_that_cannot_open_what_was_decided_keeps_serving_and_says_so_until_it_can(sqlite, data_dir, tmp_path, other):
    elsewhere = tmp_path / "elsewhere"

    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir) as here, new_releases(sqlite, Upstream(), elsewhere) as there:
            await here.switch(other, by="Ann")
            await there.refresh()
            assert (there.active.release, there.plan.active) == (OWN, other)
            assert f"release {other} cannot be opened here: there is no release" in there.problem
            assert (await orchestrator_of(there).handle(HOURS)).release == OWN
            make_release(elsewhere / "releases" / "late")
            await there.refresh()
            assert (there.active.release, there.problem) == (other, None)
        (elsewhere / "releases" / "late" / "release.json").unlink()
        async with new_releases(sqlite, Upstream(), elsewhere) as restarted:
            return restarted.active.release, restarted.problem is not None

    assert asyncio.run(scenario()) == (OWN, True)


def test_a_deployment_with_another_champion_begins_with_that_one(sqlite, data_dir, other):
    packaged = data_dir / "releases" / "packaged"

    async def scenario():
        async with new_releases(sqlite, Upstream(), data_dir) as releases:
            await releases.switch(other, by="Ann")
        deployed = make_release(packaged, note="a later promotion")
        releases = new_releases(sqlite, Upstream(), data_dir)
        releases.champion = deployed
        async with releases:
            return releases.active.release == deployed

    assert asyncio.run(scenario())


def test_the_challenger_that_takes_over_stays_open_and_is_none_any_more(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream()
        async with new_releases(sqlite, upstream, data_dir) as releases:
            await releases.try_out(canary_of(other, 0.5), by="Ann")
            with pytest.raises(ConflictError, match="is the active one"):
                await releases.try_out(shadow_of(OWN), by="Ann")
            await releases.switch(other, by="Ann")
            await until(lambda: upstream.is_open() == {other})
            with pytest.raises(ConflictError, match="no release is tried"):
                await releases.stop_trying(by="Ann")
            return releases.challenge, upstream.opened

    assert asyncio.run(scenario()) == (None, {OWN: 1, other: 1})


def test_what_settings_try_is_stopped_for_good_by_who_stops_it(sqlite, data_dir, other):
    async def scenario():
        for attempt in range(2):
            async with new_releases(sqlite, Upstream(), data_dir, configured=shadow_of(other)) as releases:
                assert (releases.trial is not None) == (attempt == 0)
                if releases.trial:
                    await releases.stop_trying(by="Ann")
                    assert releases.trial is None
                else:
                    await releases.try_out(shadow_of(other), by="Ann")
                    assert releases.trial is not None

    asyncio.run(scenario())


def test_without_a_release_before_there_is_nothing_to_go_back_to(sqlite, tmp_path):
    async def scenario():
        async with new_releases(sqlite, Upstream(), tmp_path) as releases:
            with pytest.raises(ConflictError, match="nothing to go back to"):
                await releases.rollback(by="Ann")

    asyncio.run(scenario())


def test_a_rollback_stops_the_challenger_too():
    plan = Plan(active="b", previous="a", challenge=canary_of("c"))
    back = plan.rolled_back("a", None)
    assert back == Plan(active="a", previous="b", stopped=("c",))
    assert back.rolled_back("b", None).active == "b"
    with pytest.raises(ConflictError, match="somebody else"):
        plan.rolled_back("x", None)


class Down(Ledger):
    """A ledger whose database answers no more."""

    def plan(self, champion):
        raise StoreUnavailableError("the database does not answer")

    def change_plan(self, *arguments):
        raise StoreUnavailableError("the database does not answer")


def test_a_store_that_is_down_leaves_all_as_it_is(sqlite, data_dir, other):
    async def scenario():
        upstream = Upstream()
        async with new_releases(sqlite, upstream, data_dir) as releases:
            releases.ledger = Down(sqlite.engine, sqlite.environment)
            with pytest.raises(StoreUnavailableError):
                await releases.refresh()
            with pytest.raises(StoreUnavailableError):
                await releases.switch(other, by="Ann")
            await until(lambda: upstream.is_open() == {OWN})
            return releases.active.release

    assert asyncio.run(scenario()) == OWN


def test_a_shelf_lists_what_is_there_and_passes_over_what_is_no_release(data_dir, other):
    (data_dir / "releases" / "empty").mkdir()
    (data_dir / "releases" / "broken").mkdir()
    (data_dir / "releases" / "broken" / "release.json").write_text(json.dumps({"id": other}))
    shelf = Shelf.beside(data_dir)
    assert [title.id for title in shelf.titles()] == [OWN, other]
    assert shelf.find(other).folder == data_dir / "releases" / "other"
