import re
import sys
import time
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ReleaseError
from orchestrator.next_steps import language
from orchestrator.safety import Matcher, Rules, find_phrases, load_rules, read_rules, red_flags
from orchestrator.safety_phrases import Lexicon
from orchestrator.safety_spelling import Speller
from orchestrator.safety_text import MAX_CHARS, fold, read_words

RULES = load_rules()
IDS = [rule.id for rule in RULES]


@pytest.mark.parametrize(("rule", "text"), [(rule.id, text) for rule in RULES for text in rule.fires])
def test_every_rule_fires_on_its_examples(rule, text):
    assert rule in red_flags(text)


@pytest.mark.parametrize("text", [text for rule in RULES for text in rule.silent])
def test_no_rule_fires_on_a_counter_example(text):
    assert red_flags(text) == ()


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_every_rule_has_an_example_in_spanish_on_either_side(rule):
    assert "es" in map(language, rule.fires)
    assert "es" in map(language, rule.silent)


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("no rash but my throat is closing", "airway"),
        ("no fever, my lips are swelling", "airway"),
        ("not sure if it's related but I came out in hives", "reaction"),
        ("no wonder I came out in hives", "reaction"),
        ("could you refund it please, I came out in hives", "reaction"),
        ("what should I do if I took two by mistake last night", "overdose"),
        ("would it matter if I want to die", "self_harm"),
        ("I may have taken too many", "overdose"),
        ("what do I do if my throat is closing up", "airway"),
        ("he is not breathing", "airway"),
        ("it wont stop bleeding", "bleeding"),
        ("no tengo fiebre pero se me hinchó la garganta", "airway"),
        ("No itching.\nMy lips are swelling", "airway"),
    ],
)
def test_a_negation_or_a_supposition_ends_with_its_scope(text, flag):
    assert flag in red_flags(text)


@pytest.mark.parametrize(
    "text",
    [
        "can it cause swelling of the lips?",
        "can ibuprofen cause swelling of the throat?",
        "what happens if someone took too many vitamin c tablets",
        "no side effects, no rash, no swelling of the lips, just where is my order",
        "no swelling, hives or blisters since the tablets",
        "my lips are not swollen",
        "¿me puede dar sarpullido con la amoxicilina?",
        "sin mareos ni vómitos desde la vacuna",
        "What is your refund policy?",
        "I would like to return my reading glasses",
    ],
)
def test_what_is_denied_or_asked_ahead_does_not_fire(text):
    assert red_flags(text) == ()


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("his lips are swolen", "airway"),
        ("trouble brething since the jab", "airway"),
        ("an allergc reaction to it", "reaction"),
        ("her tounge is swelling", "airway"),
        ("i think its an over dose", "overdose"),
        ("vomitting since the new pills", "reaction"),
        ("rahs all over since tuesday", "reaction"),
        ("he is unconcious", "collapse"),
        ("she had a siezure", "collapse"),
        ("i was givn the wrong tabelts", "wrong_medicine"),
        ("salio sarpuyido desde la vacuna", "reaction"),
    ],
)
def test_misspelt_words_are_found(text, flag):
    assert flag in red_flags(text)


@pytest.mark.parametrize(
    "text",
    [
        "my throat is clo\u200bsing",
        "my thr\u00adoat is closing",
        "ｍｙ ｔｈｒｏａｔ ｉｓ ｃｌｏｓｉｎｇ",  # noqa: RUF001  # full-width letters
        "my thrоat is clоsing",  # noqa: RUF001  # Cyrillic o
        "𝐦𝐲 𝐭𝐡𝐫𝐨𝐚𝐭 𝐢𝐬 𝐜𝐥𝐨𝐬𝐢𝐧𝐠",  # noqa: RUF001  # mathematical bold
        "MY THROAT IS CLOSING",
        "my thr0at is cl0sing",
        "my throooooat is closing",
        "my thróat is closing",
        "I can’t breathe",  # noqa: RUF001  # a curly apostrophe
    ],
)
def test_disguised_letters_are_read(text):
    assert "airway" in red_flags(text)


def test_words_near_to_a_looked_for_one_are_not_taken_for_it():
    rules = read_rules()
    speller = Speller(rules.misspelt, rules.real_words)
    assert [word for word in rules.real_words if speller(word)] == []
    assert red_flags("long acting tablets for my blood pressure, and my sister is consulting") == ()


def test_words_of_the_file_are_written_as_messages_are_read():
    rules = read_rules()
    lists = [*rules.vocabulary.values(), rules.misspelt, rules.real_words]
    lists += [words for cues in rules.context.values() for words in (cues.cues, cues.unless, cues.until, cues.after_pause)]
    lists += [re.split(r"[ |]", phrase) for rule in rules.rules for phrase in rule.phrases]
    words = {word for words in lists for word in words if not re.fullmatch(r"!?(<\w+>|~\d+|\.\.|#\d+\+)", word)}
    plain = {word.lstrip("!") for word in words}
    assert sorted(word for word in plain if fold(word) != word or not re.fullmatch(r"[a-z0-9_.]+", word)) == []


def test_every_class_and_every_looked_for_word_is_used():
    rules = read_rules()
    named = set(re.findall(r"<(\w+)>", " ".join([*(p for r in rules.rules for p in r.phrases), *map(" ".join, rules.vocabulary.values())])))
    assert named == set(rules.vocabulary)
    lexicon = Lexicon(rules.vocabulary)
    for rule in rules.rules:
        for phrase in rule.phrases:
            lexicon.phrase(phrase)
    assert [word for word in rules.misspelt if word not in lexicon] == []


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("took ~2 tablets", "took the wrong tablets", True),
        ("took ~2 tablets", "took the three wrong tablets", False),
        ("took ~2 tablets", "took it. tablets arrived", False),
        ("took ~2 tablets", "took no tablets", False),
        ("took .. tablets", "took it. Then the other tablets", True),
        ("took .. tablets", "tablets I took", False),
        ("took #6+", "took 12 of them", True),
        ("took #6+", "took 5 of them", False),
        ("took #6+ !mg|ml", "took 600 mg", False),
        ("took #6+ !~2 mg|ml", "took 600 of the mg", False),
        ("cold_turkey|stopped ~1 shaking", "cold turkey and shaking", True),
        ("cold_turkey ~1 shaking", "turkey cold and shaking", False),
        ("<drug> ~1 rash", "amoxicillin then rash", True),
    ],
)
def test_the_language_of_phrases(phrase, text, found):
    assert find_phrases(text, (phrase,)) is found


@pytest.mark.parametrize("phrase", ["", "~2 took", "took ~2", "!took", "took ..", "<no_such_class>"])
def test_what_is_no_phrase_is_refused_with_the_name_of_its_rule(phrase):
    rules = read_rules()
    broken = rules.rules[0].model_copy(update={"phrases": (phrase,)})
    with pytest.raises(ReleaseError, match="rule airway"):
        Matcher(rules.model_copy(update={"rules": (broken,)}))


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "flags.yaml"
    path.write_text("rules: [{id: airway}]")
    with pytest.raises(ReleaseError, match=r"flags\.yaml"):
        load_rules(path)


def test_a_bare_truth_value_is_no_list_of_words():
    raw = read_rules().model_dump()
    raw["real_words"] = [False]
    with pytest.raises(ValueError, match="real_words"):
        Rules.model_validate(raw)


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_and_flags_come_in_the_order_of_the_file(text):
    fired = red_flags(text)
    assert list(fired) == [name for name in IDS if name in fired]
    assert red_flags(text) == fired


def test_a_text_is_read_up_to_its_bound():
    alarm = " my throat is closing"
    assert "airway" in red_flags("x " * (MAX_CHARS // 2 - len(alarm)) + alarm)
    assert red_flags("x " * MAX_CHARS + alarm) == ()


def alphabet(rule):
    """Words of a rule's own phrases, and near misses of them."""
    vocabulary = read_rules().vocabulary
    parts = [part for phrase in rule.phrases for part in re.split(r"[ |]", phrase) if not part.startswith(("~", "!~", "#", ".."))]
    words = [word for part in parts for word in (vocabulary[part.strip("!<>")] if "<" in part else [part.lstrip("!")])]
    words = [word for word in words if not word.startswith(("<", "#"))]
    return [word.replace("_", " ") for word in words] + [word[:-1] + "x" for word in words]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_hostile_texts_of_a_rules_own_words_take_no_longer_than_any(rule):
    words = alphabet(rule)
    step = max(len(words) // 7, 1)
    hostile = [" ".join(words), " ".join(words[::-1]), *(word for word in words[::step])]
    started = time.process_time()
    for text in hostile:
        red_flags((text + " ") * (MAX_CHARS // (len(text) + 1) + 1))
    assert time.process_time() - started < 20  # linear: a tenth of a second each; backtracking over 20,000 characters: hours


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "took " * 20_000, "no " * 30_000 + "rash since", "7" * 50_000, "\u200b" * 50_000, "a\u0301" * 30_000]
)
def test_long_texts_are_bounded(text):
    started = time.process_time()
    red_flags(text)
    assert time.process_time() - started < 5  # catastrophic backtracking would take minutes


def repeats(tree):
    """The quantifiers of a parsed regular expression: (outermost first) lists of their upper bounds along each path."""
    parser = sys.modules["re._parser"]
    for operator, argument in tree:
        name = str(operator)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            inner = list(repeats(argument[2])) or [[]]
            yield from ([argument[1], *path] for path in inner)
        else:
            values = argument if isinstance(argument, list | tuple) else [argument]
            flat = [part for value in values for part in (value if isinstance(value, list) else [value])]
            for part in flat:
                if isinstance(part, parser.SubPattern):
                    yield from repeats(part)


PATTERNS = {
    f"{module}.{name}": value
    for module in ("safety", "safety_context", "safety_phrases", "safety_positions", "safety_spelling", "safety_text")
    for name, value in vars(import_module(f"orchestrator.{module}")).items()
    if isinstance(value, re.Pattern)
}


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_has_an_unbounded_repeat_in_another(name):
    parser = import_module("re._parser")
    unbounded = parser.MAXREPEAT
    for path in repeats(parser.parse(PATTERNS[name].pattern)):
        assert path.count(unbounded) <= 1


def test_the_walk_finds_a_nested_repeat():
    parser = import_module("re._parser")
    assert any(path.count(parser.MAXREPEAT) == 2 for path in repeats(parser.parse(r"x(?:a+|b)*y")))


def test_the_words_of_a_message_are_counted_with_its_sentences():
    message = read_words("No. I can't, really")
    assert message.words == ["no", ".", "i", "cant", "really"]
    assert (message.breaks, message.pauses) == (0b10, 0b10000)
