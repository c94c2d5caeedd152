import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import DataError
from evals.workflows.pii import evaluate, figures, load, render
from orchestrator.redact import Kind, Span, find, redact, restore, tokenize

IBAN = "GB82 WEST 1234 5698 7654 32"  # the example of ISO 13616
NHS = "943 476 5919"  # the example of the NHS Data Dictionary

HIDDEN = [
    # names, by what stands around them
    ("My name is Sheila Ogden.", "My name is [NAME]."),
    ("my name is john smith and i need my tablets", "my name is [NAME] and i need my tablets"),
    ("name's dave, calling about an order", "name's [NAME], calling about an order"),
    ("the last name is o'connor and it is late", "the last name is [NAME] and it is late"),
    ("hello this is Thandiwe Mokoena speaking", "hello this is [NAME] speaking"),
    ("I'm Graham Tully from Leeds", "I'm [NAME] from Leeds"),
    ("um i'm dimitri calling for my wife", "um i'm [NAME] calling for my wife"),
    ("it's for my daughter Anna, she is four", "it's for my daughter [NAME], she is four"),
    ("I write on behalf of Osagie Bello", "I write on behalf of [NAME]"),
    ("you sent Mrs Hooper's tablets to me", "you sent Mrs [NAME]'s tablets to me"),
    ("Dr. O. Petrov called", "Dr. [NAME] called"),
    ("parcel for Ms K. Adebayo", "parcel for Ms [NAME]"),
    ("mail for The Willows, 3 Church Street, Ely CB7 4JT", "mail for [ADDRESS]"),
    ("area code six one seven then five five five then oh one nine nine", "area code [PHONE]"),
    ("patient Xiomara Reyes has a rash", "patient [NAME] has a rash"),
    ("hola, me llamo maría josé garcía y llamo por", "hola, me llamo [NAME] y llamo por"),
    ("soy Begoña, la vecina", "soy [NAME], la vecina"),
    ("la señora Ibarra no contesta", "la señora [NAME] no contesta"),
    ("surname is penhaligon p e n h a l i g o n", "surname is [NAME] [NAME]"),
    ("priya at the front sorted my packs", "[NAME] at the front sorted my packs"),
    ("Please refund it.\n\nMany thanks,\nW. T. Burdette", "Please refund it.\n\nMany thanks,\n[NAME]"),
    ("Where is it?\n\nMarcus T", "Where is it?\n\n[NAME]"),
    # e-mail
    ("write to jo.smith@example.co.uk", "write to [EMAIL]"),
    ("email is john dot smith at gmail dot com thanks", "email is [EMAIL] thanks"),
    ("mi correo es ana punto ruiz arroba correo punto es", "mi correo es [EMAIL]"),
    # phones: reserved numbers count too
    ("call +44 7700 900123", "call [PHONE]"),
    ("new number is 07700 900 431", "new number is [PHONE]"),
    ("(212) 555-0143 after six", "[PHONE] after six"),
    ("lookup by phone: 312.842.6943", "lookup by phone: [PHONE]"),
    ("llámeme al 612 345 678", "llámeme al [PHONE]"),
    ("ring 0 7 7 0 0 9 0 0 1 2 3 please", "ring [PHONE] please"),
    ("it's oh seven seven double oh nine hundred one two three", "it's [PHONE]"),
    # addresses
    ("I live at 12 Hollow Oak Road", "I live at [ADDRESS]"),
    ("send to Flat 4, 88 Cathedral Road, Cardiff CF11 9LN today", "send to [ADDRESS] today"),
    ("2210 W Grace St Apt 3B, Chicago, IL 60618 is new", "[ADDRESS] is new"),
    ("vivo en la calle Mayor 12, 2º izquierda, 28013 Madrid", "vivo en la [ADDRESS]"),
    ("i live at nineteen victoria road harrogate", "i live at [ADDRESS]"),
    ("my zip is 62704", "my zip is [ADDRESS]"),
    ("my postcode is l s one four d p", "my postcode is [ADDRESS]"),
    # dates of birth
    ("dob 04/02/1957", "dob [DOB]"),
    ("born twenty second of october nineteen forty seven", "born [DOB]"),
    ("fecha de nacimiento 3 de marzo de 1962", "fecha de nacimiento [DOB]"),
    ("Wilma Sutter 1/30/44", "[NAME] [DOB]"),
    # numbers with a checksum, and ids after their cue
    ("card 4111 1111 1111 1111 please", "card [CARD] please"),
    ("cuatro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno es la tarjeta", "[CARD] es la tarjeta"),
    (f"refund to {IBAN} today", "refund to [IBAN] today"),
    ("g b 8 2 w e s t 1 2 3 4 5 6 9 8 7 6 5 4 3 2 is my account", "[IBAN] is my account"),
    ("ssn 123-45-6789", "ssn [SSN]"),
    ("650173865 as my social", "[SSN] as my social"),
    (f"nhs number {NHS}", "nhs number [NHS]"),
    ("Rx# C-4471229 is late", "Rx# [PRESCRIPTION] is late"),
    ("número de receta 7 5 2 2 9 9 8 6", "número de receta [PRESCRIPTION]"),
    ("my member id is XJ-4492-113 thanks", "my member id is [MEMBER] thanks"),
    ("member id abc-12345 B", "member id [MEMBER]"),
    ("the order I placed, web-2231-7, is late", "the order I placed, web-2231-7, is late"),
    ("policy no is POL/727483/K, says", "policy no is [MEMBER], says"),
]

KEPT = [
    "took metformin 500 mg twice, 10 tablets",
    "2 tablets 3 times a day, 75/20 mix, 1,000 iu and 0.5 mg/mL",
    "I'm Allergic to penicillin and this is Ridiculous",
    "I have a Dr appointment at 10:30 on 14/05/2025",
    "my wife Eliquis ran out, patient safety first",
    "is Yasmin safe with Losec 20 mg and St John's wort?",
    "lot 20458831 and batch BN20458831 exp 08/27, NDC 0093-4155-73",
    "B12 5mg and D3 25 mcg = 1000 iu",
    "it was £12.99, then $1,140.00",
    "take 2 on the way down the road after 5 minutes",
    "one two three tablets, or four five",
    "order 40-7765 was late",
    "i'm calling about my order, my name is on the label",
]


@pytest.mark.parametrize(("text", "expected"), HIDDEN)
def test_personal_data_is_replaced_by_its_kind(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("text", KEPT)
def test_medicines_doses_prices_times_and_lots_stay(text):
    assert redact(text) == text


@pytest.mark.parametrize("text", [text for text, _ in HIDDEN])
def test_redacting_again_changes_nothing(text):
    assert redact(redact(text)) == redact(text)


def test_order_numbers_go_only_when_asked():
    text = "order 40-7765, tracking RT20091"
    assert redact(text) == text
    assert redact(text, orders=True) == "order [ORDER], tracking [ORDER]"


def test_an_order_number_that_looks_like_a_phone_stays():
    assert redact("order number 2125550143") == "order number 2125550143"


def test_a_lot_never_passes_for_something_else_but_a_name_beside_it_goes():
    assert redact("lot 4111 1111 1111 1111, from Priya") == "lot 4111 1111 1111 1111, from [NAME]"


def test_spans_are_ordered_and_do_not_overlap():
    text = "Anna Smith, dob 4/2/57, 12 Hollow Road, Leeds LS1 4DP, jo@x.org, 07700 900123"
    spans = find(text)
    assert [span.kind for span in spans] == [Kind.NAME, Kind.DOB, Kind.ADDRESS, Kind.EMAIL, Kind.PHONE]
    assert all(left.end <= right.start for left, right in pairwise(spans))


def test_a_value_has_one_token_and_tokens_of_a_kind_are_numbered():
    redacted = tokenize("mail jo@x.org or al@x.org, best jo@x.org")
    assert redacted.text == "mail [EMAIL_1] or [EMAIL_2], best [EMAIL_1]"
    assert redacted.values == {"[EMAIL_1]": "jo@x.org", "[EMAIL_2]": "al@x.org"}


def test_a_token_that_the_text_holds_already_is_not_given_out():
    text = "they wrote [EMAIL_1] to jo@x.org"
    redacted = tokenize(text)
    assert redacted.text == "they wrote [EMAIL_1] to [EMAIL_2]"
    assert restore(redacted.text, redacted.values) == text


def test_restoring_leaves_values_that_look_like_tokens():
    assert restore("[NAME_1] and [NAME_2]", {"[NAME_1]": "[NAME_2]", "[NAME_2]": "x"}) == "[NAME_2] and x"


PIECES = st.sampled_from(
    [
        *(text for text, _ in HIDDEN),
        *KEPT,
        "[EMAIL_1]",
        "[NAME_2]",
        "[",
        "]",
        "_1]",
        "[NAME",
        "\x00",
        "\u0130",
        "\u2019s",
        "\ud800",
        " ",
        "\n",
        "7",
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=6).map("".join), st.lists(PIECES, max_size=6).map(" ".join))


@given(TEXTS)
def test_restore_is_the_exact_inverse_of_tokenize(text):
    redacted = tokenize(text, orders=True)
    assert restore(redacted.text, redacted.values) == text


@given(TEXTS)
def test_spans_lie_within_any_text_in_order(text):
    spans = find(text, orders=True)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))


def case(number, text, spans=(), keep=(), part="test"):
    marked = [{"start": text.index(value), "end": text.index(value) + len(value), "kind": kind} for value, kind in spans]
    return {"id": f"p{number:03}", "part": part, "text": text, "channel": "chat", "lang": "en", "spans": marked, "keep": list(keep)}


def write(folder, *cases):
    lines = [one if isinstance(one, str) else json.dumps(one) for one in cases]
    (folder / "pii.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_figures_count_what_is_found_missed_and_harmed(tmp_path):
    folder = write(
        tmp_path,
        case(1, "mail jo@x.org", [("jo@x.org", "EMAIL")]),
        case(2, "ask the tall one, qqq", [("qqq", "NAME")]),
        case(3, "my name is Anna Smith, on losec 20 mg", [("Anna Smith", "NAME")], ["losec 20 mg"]),
        case(4, "call 07700 900123", [], [], "dev"),
    )
    found = evaluate(folder)["test"]
    recall = found["kinds"]["all"]["recall"]
    assert (recall["value"], recall["n"]) == (pytest.approx(2 / 3), 3)
    assert found["kinds"]["EMAIL"]["recall"]["value"] == 1
    assert found["keep_touched"]["value"] == 0
    assert evaluate(folder)["dev"]["kinds"]["PHONE"]["precision"]["value"] == 0
    assert "| NAME | 2 | 0.500" in render(evaluate(folder))


def test_recall_asks_for_nine_tenths_of_the_characters_and_strictness_for_the_kind():
    folder_case = [case(1, "0123456789", [("0123456789", "PHONE")])]
    from evals.workflows.pii import Case

    cases = [Case.model_validate(one) for one in folder_case]
    short = figures(cases, lambda _: (Span(0, 8, Kind.PHONE),))["kinds"]["PHONE"]
    other = figures(cases, lambda _: (Span(0, 5, Kind.NHS), Span(5, 9, Kind.NHS)))["kinds"]["PHONE"]
    assert (short["recall"]["value"], short["strict"]["value"]) == (0, 1)
    assert (other["recall"]["value"], other["strict"]["value"]) == (1, 0)


BROKEN = [
    ("{", ":1: Invalid JSON"),
    (case(1, "hello") | {"part": "gate"}, ":1: part: "),
    (case(1, "hello") | {"spans": [{"start": 2, "end": 9, "kind": "NAME"}]}, ":1: span 2:9 does not lie within the text of 5"),
    (case(1, "hello", [], ["losec"]), ":1: keep: 'losec' is not in the text"),
    (case(1, "hello") | {"spans": [{"start": 0, "end": 2, "kind": "PET"}]}, ":1: spans.0.kind: "),
]


@pytest.mark.parametrize(("line", "message"), BROKEN)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(DataError, match=r"pii\.jsonl") as error:
        load(write(tmp_path, line) / "pii.jsonl")
    assert message in str(error.value)


def test_an_id_given_twice_and_an_empty_file_are_named(tmp_path):
    with pytest.raises(DataError, match=r":2: id 'p001' stands on line 1 already"):
        load(write(tmp_path, case(1, "a"), case(1, "b")) / "pii.jsonl")
    with pytest.raises(DataError, match="holds no case"):
        load(write(tmp_path) / "pii.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "none.jsonl")
