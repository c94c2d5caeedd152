from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.catalogue import find_model
from orchestrator.errors import PromptError
from orchestrator.prompts import Example, Renderer, Retrieval, answer_schema, load_prompt, nearest
from orchestrator.schema import Category, Message

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = sorted((ROOT / "prompts").glob("*.yaml"))
SMOL = find_model("smollm2-135m")
DEV = [Example(id="m9001", message="my parcel", label=Category.SERVICE_ACTION)]


def write(folder: Path, **changes) -> Path:
    fields = {"id": "classify-901", "title": "t", "answer": ["category"], "max_tokens": 16, "system": "Sort."} | changes
    path = folder / f"{fields['id']}.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


@pytest.mark.parametrize("path", PROMPTS, ids=lambda p: p.stem)
def test_every_prompt_loads_and_asks_for_the_category_first(path):
    prompt = load_prompt(path)
    assert next(iter(answer_schema(prompt, SMOL)["properties"])) == "category"


def test_there_are_five_prompts():
    assert len(PROMPTS) >= 5


@given(st.text(min_size=1, max_size=400))
def test_any_text_reaches_the_model_unchanged(text):
    prompt = load_prompt(ROOT / "prompts" / "classify-005.yaml").model_copy(update={"retrieve": None})
    request = Renderer(prompt, SMOL, DEV)(Message(text=text))
    assert request.turns[-1].content == text


@pytest.mark.parametrize("text", ["{{ 7*7 }}", "{% raw %}", "file:///etc/passwd", "a\x00b", "x" * 10_000, '"}]}'])
def test_template_like_text_is_data(text):
    prompt = load_prompt(ROOT / "prompts" / "classify-001.yaml")
    assert Renderer(prompt, SMOL, DEV)(Message(text=text)).turns[-1].content.endswith(text)


def test_an_undefined_variable_names_file_and_variable(tmp_path):
    path = write(tmp_path, system="Hello {{ custmer }}")
    with pytest.raises(PromptError, match=r"classify-901\.yaml.*custmer"):
        load_prompt(path)


def test_a_broken_template_names_its_line(tmp_path):
    with pytest.raises(PromptError, match="line 2"):
        load_prompt(write(tmp_path, system="a\n{% if %}"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answer": ["reasoning", "category"]}, "starts with category"),
        ({"codes": {"informational": "A", "service_action": "A", "safety_compliance": "C"}}, "code of its own"),
        ({"colour": "red"}, "colour"),
        ({"shots": [{"id": "m0001"}], "retrieve": {"k": 2, "max_chars": 100}}, "not both"),
    ],
)
def test_a_prompt_that_makes_no_sense_is_refused(tmp_path, changes, words):
    with pytest.raises(PromptError, match=words):
        load_prompt(write(tmp_path, **changes))


def test_the_id_is_the_files_name(tmp_path):
    path = write(tmp_path)
    renamed = path.rename(tmp_path / "classify-902.yaml")
    with pytest.raises(PromptError, match="classify-902"):
        load_prompt(renamed)


def test_a_shot_that_is_no_dev_row_is_refused(tmp_path):
    prompt = load_prompt(write(tmp_path, shots=[{"id": "m0404"}]))
    with pytest.raises(PromptError, match="m0404"):
        Renderer(prompt, SMOL, DEV)


def test_nothing_but_the_schema_is_sent_in_the_schema(tmp_path):
    schema = answer_schema(load_prompt(write(tmp_path, answer=["category", "reasoning"])), SMOL)
    assert "description" not in str(schema)
    assert "title" not in str(schema)


def test_a_model_without_logprobs_is_asked_for_a_distribution(tmp_path):
    prompt = load_prompt(write(tmp_path))
    request = Renderer(prompt, find_model("gpt-6-luna"), DEV)(Message(text="hello"))
    assert set(request.answer_schema["properties"]["probabilities"]["properties"]) == set(prompt.codes.values())
    assert "probabilities" in request.turns[0].content
    assert request.top_logprobs == 0
    assert request.temperature is None
    assert request.extra == {"reasoning_effort": "none"}


def test_examples_become_chat_turns_in_order(tmp_path):
    prompt = load_prompt(write(tmp_path, shots=[{"id": "m9001"}]))
    turns = Renderer(prompt, SMOL, DEV)(Message(text="hello")).turns
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[2].content == '{"category":"service_action"}'


def test_retrieval_puts_the_nearest_last_and_never_shows_the_message_itself():
    pool = [
        Example(id="m1", message="where is my parcel", label=Category.SERVICE_ACTION),
        Example(id="m2", message="where is my order of tablets", label=Category.SERVICE_ACTION),
        Example(id="m3", message="rash after the cream", label=Category.SAFETY_COMPLIANCE),
    ]
    look_up = nearest(pool, Retrieval(k=2, max_chars=100))
    assert [e.id for e in look_up("where is my order of tablets today")] == ["m1", "m2"]
    assert "m2" not in [e.id for e in look_up("where is my order of tablets")]


def test_the_key_covers_schema_and_weights(tmp_path):
    request = Renderer(load_prompt(write(tmp_path)), SMOL, DEV)(Message(text="hello"))
    keys = {
        request.key(),
        request.model_copy(update={"model_digest": "other"}).key(),
        request.model_copy(update={"answer_schema": {"type": "object"}}).key(),
        request.model_copy(update={"max_tokens": 17}).key(),
    }
    assert len(keys) == 4
