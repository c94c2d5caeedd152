import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.policy import Thresholds, band_of, decide
from orchestrator.schema import Band, Category, Probabilities

T = Thresholds(safety=0.3, local=0.6, degraded=0.2)


def probabilities(info: float, service: float, safety: float) -> Probabilities:
    return Probabilities(informational=info, service_action=service, safety_compliance=safety)


@pytest.mark.parametrize(
    ("p", "flags", "local", "degraded", "category", "band", "review", "routed"),
    [
        ((0.95, 0.03, 0.02), (), 0.1, False, "informational", "high", False, False),
        ((0.80, 0.15, 0.05), (), 0.1, False, "informational", "moderate", False, False),
        ((0.60, 0.35, 0.05), (), 0.1, False, "informational", "low", False, False),
        ((0.35, 0.60, 0.05), (), 0.1, False, "service_action", "low", True, False),
        ((0.60, 0.20, 0.20), (), 0.1, False, "informational", "low", True, True),
        ((0.45, 0.44, 0.11), (), 0.1, False, "informational", "uncertain", True, False),
        ((0.45, 0.30, 0.25), (), 0.1, False, "informational", "uncertain", True, True),
        ((0.60, 0.09, 0.31), (), 0.1, False, "safety_compliance", "uncertain", True, True),
        ((0.60, 0.10, 0.30), (), 0.1, False, "safety_compliance", "uncertain", True, True),
        ((0.02, 0.03, 0.95), (), 0.1, False, "safety_compliance", "high", False, True),
        ((0.95, 0.03, 0.02), ("airway",), 0.1, False, "safety_compliance", "uncertain", True, True),
        ((0.95, 0.03, 0.02), (), 0.6, False, "safety_compliance", "uncertain", True, True),
        ((0.75, 0.04, 0.21), (), 0.9, True, "safety_compliance", "uncertain", True, True),
        ((0.90, 0.05, 0.05), (), 0.9, True, "informational", "high", False, False),
    ],
)
def test_the_table_of_decisions(p, flags, local, degraded, category, band, review, routed):
    decision = decide(probabilities(*p), T, red_flags=flags, local_safety=local, degraded=degraded)
    assert decision.category == category
    assert decision.band == band
    assert decision.review_required is review
    assert decision.routed_as_safety is routed
    assert decision.path


@pytest.mark.parametrize(
    ("confidence", "band"),
    [
        (1.0, Band.HIGH),
        (0.9, Band.HIGH),
        (0.8999, Band.MODERATE),
        (0.7, Band.MODERATE),
        (0.6999, Band.LOW),
        (0.5, Band.LOW),
        (0.4999, Band.UNCERTAIN),
    ],
)
def test_a_boundary_belongs_to_the_band_above(confidence, band):
    assert band_of(confidence) == band


shares = st.tuples(*[st.floats(0.001, 1.0)] * 3).map(lambda t: Probabilities.from_vector(list(t)))


@given(shares, st.floats(0, 1), st.floats(0, 1))
def test_a_red_flag_is_never_downgraded(p, threshold, local):
    thresholds = Thresholds(safety=threshold, local=0.5, degraded=threshold)
    decision = decide(p, thresholds, red_flags=("airway",), local_safety=local, degraded=False)
    assert decision.category == Category.SAFETY_COMPLIANCE
    assert decision.review_required == (p.safety < 0.9)


@given(shares, st.floats(0, 1))
def test_more_safety_never_means_less_safety(p, threshold):
    thresholds = Thresholds(safety=threshold, local=1.0, degraded=threshold)
    raised = Probabilities.from_vector([p.informational * 0.5, p.service_action * 0.5, p.safety_compliance])
    before, after = (decide(q, thresholds, red_flags=(), local_safety=0.0, degraded=False) for q in (p, raised))
    assert after.category == Category.SAFETY_COMPLIANCE or before.category != Category.SAFETY_COMPLIANCE
