"""The verdicts as JUnit XML, which every CI reads: a suite per candidate, a test case per check of the gate. Pure.

FAIL is a ``failure``. INCONCLUSIVE is an ``error``: the check could come to no result, and unlike ``skipped`` every CI shows
that in red, as it blocks promotion. ``skipped`` is a check that could not be made, because there was no champion to compare with;
where files were not sound the case ``evidence`` fails as well. The shape is that of Jenkins' ``junit-10.xsd``. There are no times
and no dates in it: the same reports give the same file.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as ET  # nosec B405  # it only writes

from evals.gate import Verdict
from evals.report.changes import Change, Changes
from evals.report.checks import Check, checks_of

ELEMENTS = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error", None: "skipped"}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2: Char


def junit(changes: Changes) -> str:
    """Return the document, UTF-8 declared. Characters that XML forbids are dropped."""
    suites = [_suite(changes, change) for change in changes.candidates]
    root = ET.Element("testsuites", {"name": "contact-centre gate"})
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(changes: Changes, change: Change) -> ET.Element:
    checks = checks_of(change.judgement)
    counts = Counter(check.outcome for check in checks)
    suite = ET.Element("testsuite", {"name": allowed(change.candidate), "tests": str(len(checks))})
    for name, outcome in (("failures", Verdict.FAIL), ("errors", Verdict.INCONCLUSIVE), ("skipped", None)):
        suite.set(name, str(counts[outcome]))
    known = {"verdict": change.verdict.value, "key": change.judgement.key, "n": str(change.judgement.n), "split": changes.split}
    if changes.champion:
        known |= {"champion": changes.champion.name, "champion_release": changes.champion.release}
    properties = ET.SubElement(suite, "properties")
    for name, value in known.items():
        ET.SubElement(properties, "property", {"name": name, "value": allowed(value)})
    for check in checks:
        _case(suite, change.candidate, check)
    return suite


def _case(suite: ET.Element, candidate: str, check: Check) -> None:
    case = ET.SubElement(suite, "testcase", {"name": check.name, "classname": allowed(candidate)})
    said = allowed(check.said)
    if check.outcome == Verdict.PASS:
        ET.SubElement(case, "system-out").text = said
        return
    kind = {"type": check.outcome.value} if check.outcome else {}
    ET.SubElement(case, ELEMENTS[check.outcome], {**kind, "message": said}).text = said


def allowed(text: str) -> str:
    """Return text without the characters that no XML 1.0 document may hold, not even escaped."""
    return _FORBIDDEN.sub("", text)
