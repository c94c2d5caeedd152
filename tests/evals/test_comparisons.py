import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from support import evals

from evals.comparisons import compare
from evals.intervals import proportion
from evals.pairs import mcnemar_two_sided
from evals.workspace import Workspace
from orchestrator.schema import Category, Message, Probabilities
from orchestrator.store.comparisons import Comparison, Pair, Side
from orchestrator.store.ledger import Ledger, in_random_sample
from orchestrator.testing_outcomes import make_outcome

INFORMATIONAL, SERVICE, SAFETY = Category
PAIR = Pair("champion", "challenger")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SAMPLED = [name for name in (f"m{number}" for number in range(4000)) if in_random_sample(name)]
OTHERS = [name for name in (f"m{number}" for number in range(4000)) if not in_random_sample(name)]


def side(release, category, *, routed=None, degraded=False):
    return Side(
        release=release,
        category=category,
        routed_as_safety=category == SAFETY if routed is None else routed,
        confidence=0.9,
        degraded=degraded,
        probabilities=Probabilities(informational=0.9, service_action=0.05, safety_compliance=0.05),
    )


def comparison(request_id, mine, theirs, *, mode="shadow", at=NOON, pair=PAIR, **more):
    champion, challenger = side(pair.champion, mine), side(pair.challenger, theirs, **more)
    return Comparison(request_id=request_id, created_at=at, mode=mode, champion=champion, challenger=challenger)


def test_the_report_counts_agreement_categories_and_what_only_one_routes_as_safety():
    found = [
        *(comparison(f"a{number}", INFORMATIONAL, INFORMATIONAL) for number in range(7)),
        comparison("b", SAFETY, SERVICE),
        comparison("c", SERVICE, SAFETY, mode="canary", at=NOON + timedelta(hours=1)),
        comparison("d", SAFETY, INFORMATIONAL, routed=True, degraded=True),
    ]
    report = compare(PAIR, found, {})
    assert report.agreement == proportion(7, 10)
    assert report.table[INFORMATIONAL] == {INFORMATIONAL: 7, SERVICE: 0, SAFETY: 0}
    assert report.table[SAFETY] == {INFORMATIONAL: 1, SERVICE: 1, SAFETY: 0}
    assert sum(count for row in report.table.values() for count in row.values()) == 10
    assert (report.missed, report.added) == (("b",), ("c",))
    assert (report.safety.champion, report.safety.challenger) == (proportion(2, 10), proportion(2, 10))
    assert (report.degraded.only_champion, report.degraded.only_challenger) == (0, 1)
    assert report.by_mode == {"shadow": 9, "canary": 1}
    assert (report.first, report.last) == (NOON, NOON + timedelta(hours=1))


def test_nothing_compared_is_an_open_interval_and_no_error():
    report = compare(PAIR, [], {})
    assert (report.agreement.value, report.agreement.low, report.agreement.high) == (None, 0.0, 1.0)
    assert (report.first, report.missed, report.labelled.right.p) == (None, (), 1.0)


def test_only_labels_of_the_random_sample_are_judged_by():
    ids = SAMPLED[:10] + OTHERS[:5]
    found = [comparison(name, SERVICE, INFORMATIONAL) for name in ids]
    labels = dict.fromkeys(SAMPLED[:8], INFORMATIONAL) | {SAMPLED[8]: SERVICE} | dict.fromkeys(OTHERS[:5], SERVICE)
    labelled = compare(PAIR, found, labels).labelled
    assert (labelled.right.champion, labelled.right.challenger) == (proportion(1, 9), proportion(8, 9))
    assert labelled.right.p == mcnemar_two_sided(8, 1)
    assert labelled.others == 5


def test_of_labelled_safety_messages_it_says_how_many_each_routes_so():
    found = [comparison(name, SAFETY, SERVICE if number < 3 else SAFETY) for number, name in enumerate(SAMPLED[:6])]
    routed = compare(PAIR, found, dict.fromkeys(SAMPLED[:6], SAFETY)).labelled.safety_routed
    assert (routed.champion, routed.challenger, routed.only_champion) == (proportion(6, 6), proportion(3, 6), 3)


# --- the command


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else f"sqlite:///{tmp_path}/ledger.db"


def store(database, *found, labels=()):
    """Record the messages of comparisons, and what was compared."""
    ledger = Ledger.at(database, os.environ)
    for one in found:
        ledger.record(Message(text="hello"), make_outcome(one.request_id, one.champion.category))
    for request_id, label in labels:
        ledger.correct(request_id, label, "R. Ph.")
    assert ledger.compare(found) == len(found)
    ledger.close()


def test_the_command_reads_what_was_compared_last_and_the_labels(database, tmp_path, capsys):
    older = comparison("old", SAFETY, SAFETY, pair=Pair("champion", "before"))
    found = [comparison(name, SAFETY if number == 0 else SERVICE, SERVICE) for number, name in enumerate(SAMPLED[:4])]
    store(database, older, *found, labels=[(SAMPLED[1], SERVICE)])
    workspace = Workspace(tmp_path)
    assert evals(workspace, "shadow", "--database", database, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["champion"], report["challenger"], report["agreement"]["n"]) == ("champion", "challenger", 4)
    assert report["missed"] == [SAMPLED[0]]
    assert report["labelled"]["right"]["challenger"]["n"] == 1
    assert evals(workspace, "shadow", "--database", database, "--challenger", "before") == 0
    printed = capsys.readouterr().out
    assert "Challenger before against champion on 1 messages (1 shadow, 2026-11-26 12:00" in printed
    assert "0 the champion alone routes as safety: none" in printed


def test_since_leaves_earlier_ones_out(tmp_path, capsys):
    database = f"sqlite:///{tmp_path}/ledger.db"
    store(database, comparison("m1", SERVICE, SERVICE), comparison("m2", SERVICE, SERVICE, at=NOON + timedelta(days=1)))
    assert evals(Workspace(tmp_path), "shadow", "--database", database, "--since", "2026-11-27", "--json") == 0
    assert json.loads(capsys.readouterr().out)["agreement"]["n"] == 1


def test_where_nothing_was_compared_it_says_how_to_begin(tmp_path, capsys):
    database = f"sqlite:///{tmp_path}/ledger.db"
    store(database)
    assert evals(Workspace(tmp_path), "shadow", "--database", database, "--challenger", "x") == 2
    assert "known: none. Try one: PUT /api/v1/releases/challenger" in capsys.readouterr().err
