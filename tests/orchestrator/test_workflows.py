import pytest

from orchestrator.knowledge_base import KnowledgeBase, load_articles
from orchestrator.schema import Band, Category, Classification, Decision, Message, Probabilities, Severity, Source, Usage
from orchestrator.workflows.informational import CONTACT, Informational
from orchestrator.workflows.safety_compliance import SafetyCompliance, judge_severity
from orchestrator.workflows.service_action import Intent, LocalOrders, ServiceAction, find_intent, find_slots


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeBase:
    return KnowledgeBase(load_articles())


def classified(category: Category, *, flags: tuple[str, ...] = (), review: bool = False) -> Classification:
    decision = Decision(
        category=category, confidence=0.8, band=Band.MODERATE, review_required=review, routed_as_safety=bool(flags), path="test"
    )
    return Classification(
        decision=decision,
        probabilities=Probabilities(informational=0.1, service_action=0.1, safety_compliance=0.8),
        source=Source.LOGPROB,
        calibrated=True,
        degraded=False,
        red_flags=flags,
        local_safety=0.5,
        usage=Usage(),
    )


def test_there_are_thirty_articles_each_with_its_source():
    articles = load_articles()
    assert len(articles) >= 30
    assert all(article.source and article.body for article in articles)


@pytest.mark.parametrize(
    ("question", "article"),
    [
        ("What is your refund policy?", "refund-policy"),
        ("what time do you open on sunday", "opening-hours"),
        ("how do I store insulin that has to stay in the fridge", "fridge-medicines"),
    ],
)
def test_a_question_is_answered_from_its_article(knowledge, question, article):
    result = Informational(knowledge)(Message(text=question), classified(Category.INFORMATIONAL))
    assert result.details["articles"][0]["id"] == article
    assert "Source:" in result.next_step.message


@pytest.mark.parametrize("text", ["zxqv wvut", "!!!", "¿?"])
def test_without_a_match_there_are_contact_options(knowledge, text):
    result = Informational(knowledge)(Message(text=text), classified(Category.INFORMATIONAL))
    assert result.next_step.message == CONTACT
    assert result.details["articles"] == []


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("where is my parcel", Intent.TRACK_ORDER),
        ("I want my money back for these", Intent.REFUND),
        ("how do I cancel my order", Intent.CANCEL),
        ("please refill my metformin", Intent.REFILL),
        ("I forgot my password", Intent.CHANGE_ACCOUNT),
        ("move my flu shot appointment to Saturday", Intent.RESCHEDULE),
        ("you charged my card twice", Intent.BILLING),
        ("your staff were rude", Intent.COMPLAINT),
        ("hello", Intent.OTHER),
    ],
)
def test_intents(text, intent):
    assert find_intent(text) == intent


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("order ORD-100234 is late", {"order_number": "ORD-100234"}),
        ("order 8812 hasn't come", {"order_number": "8812"}),
        ("it's #4471 and cost £12.50", {"order_number": "4471", "amount": "£12.50"}),
        ("nothing here", {}),
    ],
)
def test_slots(text, slots):
    assert find_slots(text) == slots


def test_a_known_order_is_looked_up_and_a_missing_number_is_asked_for():
    workflow = ServiceAction(LocalOrders({"ORD-1234": {"status": "shipped"}}))
    found = workflow(Message(text="where is order ORD-1234"), classified(Category.SERVICE_ACTION))
    assert found.details["ticket"]["order"] == {"status": "shipped"}
    asked = workflow(Message(text="where is my parcel"), classified(Category.SERVICE_ACTION))
    assert asked.next_step.action == "ask_order_number"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("she can't breathe after the nut tablets", Severity.EMERGENCY),
        ("I was given the wrong tablets", Severity.URGENT),
        ("a slight metallic taste since starting it", Severity.ROUTINE),
    ],
)
def test_severity_by_transparent_rules(text, severity):
    assert judge_severity(text, ()) == severity


def test_an_emergency_is_told_to_call_first_and_the_record_is_redacted():
    message = Message(text="can't breathe. Reach me on 07700 900123 or jo@example.org")
    result = SafetyCompliance()(message, classified(Category.SAFETY_COMPLIANCE, flags=("airway",), review=True))
    record = result.details["compliance"]
    assert "emergency number" in result.next_step.message
    assert record["urgent"]
    assert "jo@example.org" not in str(record)
    assert "900123" not in str(record)
    assert record["to_be_confirmed"]
