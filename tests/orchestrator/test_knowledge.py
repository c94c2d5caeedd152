import math
import os
import re
import shutil
import threading
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.knowledge_base import Features, KnowledgeBase, load_articles, packaged_folder
from orchestrator.knowledge_base.typos import Typos
from orchestrator.knowledge_base.words import Words, fold, stem
from orchestrator.schema import Category, Message
from orchestrator.testing_outcomes import make_classification
from orchestrator.workflows.informational import CONTACT, Informational

ARTICLE = """---
id: {id}
title: {title}
keywords: [{keywords}]
source: Handbook, section 1
reviewed: 2026-01-12
---
{body}
"""


@pytest.fixture(scope="module")
def knowledge():
    return KnowledgeBase(load_articles())


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "parking", title="Parking", keywords="car park, parking", body="Park behind the branch.")
    write(tmp_path, "gift-wrap", title="Gift wrapping", keywords="gift, wrapping", body="We wrap presents in December.")
    write(tmp_path, "crutches", title="Hiring crutches", keywords="crutches", body="We hire out crutches.")
    return tmp_path


def write(folder, name, *, title, keywords, body):
    text = ARTICLE.format(id=name, title=title, keywords=keywords, body=body)
    temporary = folder / f".{name}"
    temporary.write_text(text, encoding="utf-8")
    # Renamed into place, with a time of its own: two writes within one tick of the file system's clock must differ.
    write.clock += 1_000_000_000
    os.utime(temporary, ns=(write.clock, write.clock))
    temporary.rename(folder / f"{name}.md")


write.clock = 1_700_000_000_000_000_000


def best(base, text):
    return next((hit.article.id for hit in base.rank(text)), None)


def synonyms():
    return yaml.safe_load((resources.files("orchestrator.knowledge_base") / "synonyms.yaml").read_text(encoding="utf-8"))


def answered(knowledge, text):
    return Informational(knowledge)(Message(text=text), make_classification(Category.INFORMATIONAL))


def test_there_are_a_hundred_articles_each_with_its_source_and_a_text_of_a_minute():
    articles = load_articles()
    assert len(articles) >= 100
    assert len({article.title for article in articles}) == len(articles)
    for article in articles:
        assert 80 <= len(article.body.split()) <= 185, article.id
        assert len(article.keywords) >= 6, article.id


@pytest.mark.parametrize(
    ("question", "article"),
    [
        ("What is your refund policy?", "refund-policy"),
        ("what time do you open on sunday", "opening-hours"),
        ("how do I store insulin that has to stay in the fridge", "fridge-medicines"),
        ("¿a qué hora abren el domingo?", "opening-hours"),
        ("¿tengo que guardar la insulina en la nevera?", "fridge-medicines"),
        ("how do i get rid of old meds", "disposal-of-medicines"),
        ("which antihistimine is best for hayfever", "hay-fever-and-allergy"),
    ],
)
def test_a_question_is_answered_from_its_article_and_cites_it(knowledge, question, article):
    result = answered(knowledge, question)
    first = result.details["articles"][0]
    assert first["id"] == article
    assert set(first) == {"id", "title", "source", "reviewed", "score"}
    assert f"Source: {first['title']} ({first['source']}, reviewed {first['reviewed']})" in result.next_step.message


def test_further_articles_that_score_at_least_half_as_much_are_named_to_see_also(knowledge):
    result = answered(knowledge, "how do I get rid of used needles and old medicines")
    others = [article["title"] for article in result.details["articles"][1:]]
    assert others
    assert result.next_step.message.endswith(f"See also: {'; '.join(others)}")
    scores = [article["score"] for article in result.details["articles"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] >= round(knowledge.threshold, 3)
    assert scores[-1] >= scores[0] / 2 - 0.001


@pytest.mark.parametrize("text", ["zxqv wvut", "!!!", "¿?", "", "the of and", "\x00\ud800"])
def test_without_a_match_there_are_contact_options(knowledge, text):
    found = knowledge.search(text)
    assert found == []
    if text.strip() and text.isprintable():
        result = answered(knowledge, text)
        assert result.next_step.message == CONTACT
        assert result.details["articles"] == []


def test_a_question_about_something_else_is_not_answered(knowledge):
    assert knowledge.search("random but what font is on your new bags, it's killing me") == []


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_can_be_searched_and_scores_are_between_0_and_1(knowledge, text):
    scores = [hit.score for hit in knowledge.rank(text, limit=5)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [
        ("tablets", "tablet"),
        ("allergies", "allergy"),
        ("cutting", "cut"),
        ("storage", "storag"),
        ("storing", "stor"),
        ("stores", "stor"),
        ("swelling", "swell"),
        ("illness", "illness"),
        ("virus", "virus"),
        ("gas", "gas"),
        ("b12s", "b12s"),
    ],
)
def test_a_word_loses_one_ending(word, stemmed):
    assert stem(word) == stemmed


def test_accents_case_and_apostrophes_make_no_difference():
    assert fold("¿ALERGÍA? Can\u2019t") == "¿alergia? cant"


def test_synonyms_are_one_term_whether_of_one_word_or_more():
    words = Words(Features())
    assert words.terms("my jabs") == words.terms("vaccination")
    assert words.terms("refrigerator") == words.terms("nevera") == words.terms("fridge")
    assert words.terms("money back") == words.terms("refund")
    assert words.terms("jab") != Words(Features(synonyms=False)).terms("jab")


def test_the_synonyms_are_consistent():
    data = synonyms()
    groups = [*data["same"].items(), *data["spanish"].items()]
    written = [fold(variant) for _, variants in groups for variant in variants]
    assert sorted(set(written)) == sorted(written), "each variant belongs to one group"
    assert not {fold(term) for term, _ in groups} & set(written), (
        "a group's own term is not written in another group: groups are not followed on"
    )


def test_every_word_with_related_ones_is_a_single_term():
    data, words = synonyms(), Words(Features())
    written = [*(member for members in data["kinds"].values() for member in members), *data["also"]]
    assert [word for word in written if len(words.terms(word)) != 1] == []


def test_a_misspelled_word_is_read_as_the_nearest_known_one_unless_two_are_equally_near():
    typos = Typos(["paracetamol", "ibuprofen", "patch", "pitch"])
    assert typos.nearest("parasetamole") == "paracetamol"
    assert typos.nearest("ibuprofne") == "ibuprofen"
    assert typos.nearest("potch") is None
    assert typos.nearest("xylophone") is None


def test_each_feature_can_be_turned_off():
    articles = load_articles()
    question = "the frigde for insulins"
    scores = {
        name: KnowledgeBase(articles, features=Features(**{name: False})).rank(question)[0].score
        for name in ("synonyms", "stemming", "typos")
    }
    assert len({*scores.values(), KnowledgeBase(articles).rank(question)[0].score}) > 1


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("no fence", 1, "begins with ---"),
        ("---\nid: bad\ntitle: T\n", 1, "not closed"),
        ("---\nid: bad\ntitle: [T\nkeywords: [a]\n---\nText", 4, "YAML"),
        ("---\nid: other\ntitle: T\nkeywords: [a]\nsource: S\nreviewed: 2026-01-01\n---\nText", 2, "equal to the file's name"),
        ("---\nid: bad\ntitle: T\nkeywords: none\nsource: S\nreviewed: 2026-01-01\n---\nText", 4, "keywords"),
        ("---\nid: bad\ntitle: T\nkeywords: [a]\nsource: S\nreviewed: soon\n---\nText", 6, "YYYY-MM-DD"),
        ("---\nid: bad\ntitle: T\nkeywords: [a]\nsource: S\nreviewed: 2026-01-01\n---\n\n", 8, "body"),
        ("---\nid: bad\ntitle: T\nkeywords: [a]\nreviewed: 2026-01-01\n---\nText", 1, "source"),
    ],
)
def test_an_article_that_is_not_valid_is_named_with_its_line(tmp_path, text, line, says):
    (tmp_path / "bad.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"bad.md:{line}: ")) as error:
        load_articles(tmp_path)
    assert says in str(error.value)


def test_changed_added_and_removed_articles_are_found_without_a_restart(folder):
    base = KnowledgeBase.open(folder, check_every_s=0)
    assert best(base, "parking") == "parking"
    assert best(base, "umbrellas") is None

    write(folder, "umbrellas", title="Umbrellas", keywords="umbrellas", body="We lend umbrellas.")
    assert best(base, "umbrellas") == "umbrellas"

    write(folder, "parking", title="Bicycles", keywords="bicycle stand", body="Bicycles only.")
    assert best(base, "bicycle") == "parking"

    (folder / "umbrellas.md").unlink()
    assert best(base, "umbrellas") is None


def test_a_broken_article_keeps_the_old_index_and_is_reported_until_it_is_mended(folder, caplog):
    base = KnowledgeBase.open(folder, check_every_s=0)
    good = (folder / "parking.md").read_text(encoding="utf-8")
    (folder / "parking.md").write_text("---\nid: parking\ntitle: [Parking\n---\nText", encoding="utf-8")
    assert best(base, "car park") == "parking"
    assert "parking.md:3" in base.problem
    assert "parking.md:3" in caplog.text

    (folder / "parking.md").write_text(good.replace("behind", "in front of"), encoding="utf-8")
    assert "in front of" in base.rank("car park")[0].article.body
    assert base.problem is None


def test_a_folder_that_lost_all_articles_keeps_the_old_index(folder):
    base = KnowledgeBase.open(folder, check_every_s=0)
    for path in folder.glob("*.md"):
        path.unlink()
    assert best(base, "parking") == "parking"
    assert "no articles" in base.problem


def test_the_folder_is_not_looked_at_more_often_than_asked_unless_refreshed(folder):
    base = KnowledgeBase.open(folder, check_every_s=math.inf)
    write(folder, "umbrellas", title="Umbrellas", keywords="umbrellas", body="We lend umbrellas.")
    assert best(base, "umbrellas") is None
    base.refresh()
    assert best(base, "umbrellas") == "umbrellas"


def test_a_folder_without_articles_or_with_a_broken_one_cannot_be_opened(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="no articles"):
        KnowledgeBase.open(tmp_path_factory.mktemp("empty"))
    (folder / "parking.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match=r"parking\.md:1"):
        KnowledgeBase.open(folder)


def test_threads_always_search_one_whole_index_while_articles_change(folder):
    base = KnowledgeBase.open(folder, check_every_s=0)
    seen, errors, done = set(), [], threading.Event()

    def search():
        try:
            while not done.is_set():
                seen.add(base.rank("bicycle parking stand")[0].article.body)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test must show it
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(30):
        write(folder, "parking", title="Parking", keywords="parking, bicycle, stand", body=f"Turn {turn}.")
        write(folder, f"extra-{turn}", title=f"Extra {turn}", keywords="extra", body=f"More of {turn}.")
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(body == "Park behind the branch." or re.fullmatch(r"Turn \d+\.", body) for body in seen)
    assert base.rank("bicycle parking stand")[0].article.body == "Turn 29."


def test_the_packaged_articles_can_be_opened_from_a_copy(tmp_path):
    copy = Path(shutil.copytree(packaged_folder(), tmp_path / "articles"))
    base = KnowledgeBase.open(copy)
    assert len(base.articles) == len(load_articles())
