import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scikit import vectorizer
from scipy.sparse import hstack

from orchestrator.errors import OrchestratorError, ReleaseError
from orchestrator.language import language_of
from orchestrator.local_classifier import VIEWS
from orchestrator.schema import Category, Channel, Message
from orchestrator.service.intents import MODEL, Intent, IntentFinder
from orchestrator.service.medicines import packaged_lexicon, read_lexicon
from orchestrator.service.orders import LocalOrders, Order, OrderLookupError
from orchestrator.service.slots import find_slots
from orchestrator.service.spoken import digits, number
from orchestrator.service.tickets import TEMPLATES, packaged_templates, read_templates
from orchestrator.testing_outcomes import make_classification
from orchestrator.text_model import TextModel
from orchestrator.workflows.service_action import ServiceAction

NOW = datetime(2026, 11, 25, 12)  # noqa: DTZ001  # a Wednesday, in local time as customers mean it
CLASSIFIED = make_classification(Category.SERVICE_ACTION)


def handled(text: str, orders=None, channel: Channel = Channel.CHAT):
    workflow = ServiceAction(orders or LocalOrders(), clock=lambda: NOW)
    return workflow(Message(text=text, channel=channel), CLASSIFIED)


def values(name: str, text: str, intent: Intent = Intent.OTHER) -> list[str | None]:
    return [slot.value for slot in find_slots(text, NOW, intent) if slot.name == name]


def texts(name: str, text: str, intent: Intent = Intent.OTHER) -> list[str]:
    return [slot.text for slot in find_slots(text, NOW, intent) if slot.name == name]


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
        ("your staff were rude and i want to complain", Intent.COMPLAINT),
        ("could you put my tablets in a blister pack", Intent.OTHER),
        ("¿dónde está mi pedido?", Intent.TRACK_ORDER),
        ("quiero cancelar mi pedido", Intent.CANCEL),
    ],
)
def test_plain_requests_have_their_intent(text, intent):
    assert IntentFinder.packaged()(text)[0] == intent


def test_the_intent_model_knows_every_intent_and_no_other():
    assert set(IntentFinder.packaged().model.labels) == {intent.value for intent in Intent}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("order ORD-100234 is late", ["ORD-100234"]),
        ("it's #A12345", ["A12345"]),
        ("order no. 778-123 please", ["778-123"]),
        ("ord 99812", ["99812"]),
        ("pedido 4456", ["4456"]),
        ("el pedido nº 4456", ["4456"]),
        ("purchase order wx/00812", ["WX/00812"]),
        ("order four four one two hasn't come", ["4412"]),
        ("the number's double eight two oh four", ["88204"]),
        ("where is RT-77", ["RT-77"]),
        ("order 7731 came, order 7731 did not", ["7731"]),
        ("metformin ER 500, #360, 3 RF", []),
        ("for pt #A-1187", []),
        ("my new phone number is 555-0110", []),
        ("in order to get 20mg", []),
        ("order 10.30 tomorrow", []),
        ("covid-19 jab", []),
    ],
)
def test_order_numbers_are_found_as_customers_write_and_say_them(text, found):
    assert values("order_number", text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("next tuesday", ["2026-12-01"]),
        ("can it be friday", ["2026-11-27"]),
        ("the 14th", ["2026-12-14"]),
        ("on the twenty first", ["2026-12-21"]),
        ("by the 31st", ["2026-12-31"]),
        ("mañana", ["2026-11-26"]),
        ("el 14 de mayo", ["2027-05-14"]),
        ("hace tres días", ["2026-11-22"]),
        ("in two weeks", ["2026-12-09"]),
        ("3 days ago", ["2026-11-22"]),
        ("ready by 3pm", ["T15:00"]),
        ("friday at 3pm", ["2026-11-27T15:00"]),
        ("5pm on 22 May", ["2027-05-22T17:00"]),
        ("on 2026-12-03", ["2026-12-03"]),
        ("on 25/12", ["2026-12-25"]),
        ("on 12/05", [None]),
        ("the week after", [None]),
        ("on 30 february", [None]),
        ("since tues", ["2026-11-24"]),
        ("take 2 in the morning", []),
        ("born 04/02/1957", []),
        ("Wilma Sutter 1/30/44", []),
        ("i sat in the sun", []),
        ("the 2nd tub", []),
    ],
)
def test_dates_are_read_from_today(text, found):
    assert values("date", text) == found


def test_a_day_is_a_past_one_where_the_matter_is_done_and_a_coming_one_before_a_deadline():
    assert values("date", "it was sent on the 20th", Intent.REFUND) == ["2026-11-20"]
    assert values("date", "i need it by the 20th", Intent.REFUND) == ["2026-12-20"]


@pytest.mark.parametrize(
    ("text", "booked", "wanted"),
    [
        ("move my flu shot from fri to saturday morning", ["fri"], ["saturday morning"]),
        ("he's down for monday at 3pm, can it be the tuesday?", ["monday at 3pm"], ["the tuesday"]),
        ("tengo cita el martes, ¿me la puede pasar para el jueves?", ["el martes"], ["el jueves"]),
    ],
)
def test_the_day_an_appointment_is_booked_for_is_told_from_the_one_wanted(text, booked, wanted):
    assert texts("booked_date", text, Intent.RESCHEDULE) == booked
    assert texts("date", text, Intent.RESCHEDULE) == wanted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it cost £12.50", ["12.50 pound"]),
        ("a copay of $1,140", ["1140.00 dollar"]),
        ("34.50 euros", ["34.50 euro"]),
        ("12,50 €", ["12.50 euro"]),
        ("thirty two bucks", ["32.00 dollar"]),
        ("two hundred eighty dirham", ["280.00 dirham"]),
        ("got charged 8.99 for it", ["8.99"]),
        ("forty nine ninety was taken", ["49.90"]),
        ("90p", ["0.90"]),
        ("paid $5 and again $5", ["5.00 dollar", "5.00 dollar"]),
        ("i paid one hundred eighty, where is it", ["180.00"]),
        ("you charged me 45 for this", ["45.00"]),
        ("i paid 12 times", []),
        ("INR 6.8 this morning, rm 9", []),
        ("at 10.20 on wednesday", []),
        ("take 2.50 mg", []),
    ],
)
def test_amounts_are_decimal_numbers_with_their_kind_of_money(text, found):
    assert values("amount", text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my ventolin and metformin", ["salbutamol", "metformin"]),
        ("need my lansaprazole", ["lansoprazole"]),
        ("my eye drops the lat an o prost", ["latanoprost"]),
        ("amoxicilina para mi niño", ["amoxicillin"]),
        ("two epipens", ["adrenaline"]),
        ("ibuprofen, then ibuprofen again", ["ibuprofen"]),
        ("gummy vitamins", []),
        ("the delivery of my medicine to the counter", []),
    ],
)
def test_medicines_are_found_misspelt_and_taken_down_by_ear(text, found):
    assert values("medicine", text) == found


@given(st.text(max_size=300))
def test_a_slot_is_verbatim_and_nothing_breaks_it(text):
    for slot in find_slots(text, NOW, Intent.RESCHEDULE):
        assert text[slot.start : slot.end] == slot.text
        assert slot.text


PIECES = "order # 12/05 friday at 3pm $5 el 14 de double oh twenty the 31st next in 3 weeks ago ibu profen £ . mon -> may 2nd"


@given(st.lists(st.sampled_from(PIECES.split()), max_size=25))
def test_a_slot_is_verbatim_in_any_jumble_of_what_slots_are_made_of(words):
    text = " ".join(words)
    for intent in (Intent.RESCHEDULE, Intent.REFUND):
        for slot in find_slots(text, NOW, intent):
            assert text[slot.start : slot.end] == slot.text


def test_spoken_digits_and_numbers():
    assert digits("double four oh seven") == "4407"
    assert number("one hundred and eighty") == 180
    assert number("two thousand five hundred") == 2500
    assert number("twenty-one") == 21


@pytest.mark.parametrize("intent", [Intent.TRACK_ORDER, Intent.REFUND, Intent.CANCEL])
def test_who_names_no_order_is_asked_for_it(intent):
    text = {
        Intent.TRACK_ORDER: "where is my parcel",
        Intent.REFUND: "please refund me, it is unopened",
        Intent.CANCEL: "cancel my order",
    }[intent]
    result = handled(text)
    assert result.details["ticket"]["intent"] == intent.value
    assert result.details["ticket"]["missing"] == ["order_number"]
    assert result.next_step.action == "ask_order_number"


def test_a_spanish_message_is_asked_in_spanish():
    assert "número de pedido" in handled("¿dónde está mi pedido, por favor? no ha llegado").next_step.message
    assert language_of("where is my order") == "en"


def test_a_refill_needs_a_medicine_or_a_number():
    assert handled("can i get my repeat again please").next_step.action == "ask_medicine"
    assert handled("refill my ramipril please").next_step.action == "ticket_opened"
    assert handled("refill please, ref 77812").details["ticket"]["missing"] == []


def test_an_appointment_to_be_moved_needs_the_new_day_and_not_the_old_one():
    assert handled("i have an appointment for my flu jab on friday and need to reschedule").next_step.action == "ask_date"


def test_a_ticket_says_who_does_what_until_when_and_is_plain_json():
    orders = LocalOrders([Order(number="ORD-1234", status="shipped", carrier="post")])
    result = handled("cancel order ord-1234 please, i paid $5", orders)
    ticket = json.loads(json.dumps(result.details["ticket"]))
    assert ticket["intent"] == "cancel"
    assert ticket["title"] == "Cancel order ORD-1234"
    assert ticket["queue"] == "deliveries"
    assert ticket["priority"] == "high"
    assert ticket["due_hours"] * 60 == result.next_step.eta_minutes
    assert ticket["slots"]["order_number"] == [{"value": "ORD-1234", "text": "ord-1234", "start": 13, "end": 21}]
    assert ticket["order"]["status"] == "shipped"
    assert "Order system: shipped, with post" in ticket["body"]
    assert result.details["lookup"] == "found"


def test_what_the_order_system_says_is_not_told_to_whoever_writes():
    orders = LocalOrders([Order(number="ORD-1234", status="shipped", carrier="post")])
    known, unknown = handled("where is order ORD-1234", orders), handled("where is order ORD-1235", orders)
    assert unknown.details["lookup"] == "not_found"
    assert known.next_step == unknown.next_step


class BrokenOrders:
    blocking = True

    def __call__(self, order_number):
        raise OrderLookupError("no answer")

    def close(self):
        pass


def test_a_ticket_is_opened_when_the_order_system_is_down():
    result = handled("where is order 8812", BrokenOrders())
    assert result.details["lookup"] == "unavailable"
    assert result.details["ticket"]["order"] is None
    assert result.next_step.action == "ticket_opened"


def test_a_workflow_blocks_when_its_order_system_does():
    assert ServiceAction(BrokenOrders()).blocking
    assert not ServiceAction(LocalOrders()).blocking


def test_every_intent_has_a_template_that_can_be_filled_with_nothing():
    for intent in Intent:
        ticket = packaged_templates().ticket(intent, [], None, "chat")
        assert ticket["title"]
        assert "{" not in str(ticket["body"])


def test_braces_in_a_message_are_text():
    result = handled("refund order 8812 {queue} {0.__class__} for ibuprofen")
    assert result.details["ticket"]["title"] == "Refund for order 8812"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{order_number}", "{order_numbr}", "no field 'order_numbr'"),
        ("needs: [date]", "needs: [day]", "no slot 'day'"),
        ("  complaint:\n", "  complain:\n", "complain"),
        ("priority: low", "priority: whenever", "priority"),
        ("questions:", "questions: [", "no YAML"),
    ],
)
def test_a_wrong_template_is_refused_with_its_file_and_place(tmp_path, old, new, said):
    path = tmp_path / "tickets.yaml"
    path.write_text(TEMPLATES.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(OrchestratorError, match=said) as raised:
        read_templates(path)
    assert str(path) in str(raised.value)


def test_a_wrong_line_of_the_lexicon_is_named(tmp_path):
    path = tmp_path / "medicines.txt"
    path.write_text("# names\nibuprofen\nadvil =\n", encoding="utf-8")
    with pytest.raises(OrchestratorError, match=r"medicines.txt:3"):
        read_lexicon(path)
    assert len(packaged_lexicon().names) > 400


def test_a_damaged_intent_model_is_refused(tmp_path):
    (tmp_path / "intent.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"intent.json"):
        TextModel.load(tmp_path / "intent.json")


@pytest.mark.parametrize("text", ["", "where is my order? WHERE is my order?", "¿dónde está mi pedido nº 4456?", "a\u0301b\x00 \U0001f600"])
def test_the_intent_model_computes_what_scikit_learn_does(text):
    parameters = json.loads(MODEL.read_text(encoding="utf-8"))
    views = [vectorizer(name, parameters["views"][name]).transform([text]) for name in VIEWS]
    scores = np.array(parameters["coefficients"]) @ hstack(views).toarray()[0] + np.array(parameters["intercepts"])
    expected = np.exp(scores) / np.exp(scores).sum()
    assert list(TextModel(parameters)(text).values()) == pytest.approx(expected.tolist(), abs=1e-12)
