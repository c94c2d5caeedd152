import datetime as dt

import pytest

from orchestrator.catalogue import find_model, load_catalogue
from orchestrator.errors import CatalogueError
from orchestrator.llm import openai_key
from orchestrator.schema import Usage


def test_the_planned_model_warns_sixty_days_before_it_shuts_down():
    model = find_model("gpt-4o-mini")
    assert model.shutdown_warning(dt.date(2026, 11, 14)) is None
    assert "gpt-6-luna" in model.shutdown_warning(dt.date(2026, 11, 15))
    assert "was shut down" in model.shutdown_warning(dt.date(2027, 2, 1))


def test_the_embedded_model_is_there_and_pinned_by_its_weights():
    model = find_model("smollm2-135m")
    assert model.gguf_path().stat().st_size > 50_000_000
    assert len(model.digest()) == 64


def test_price_is_per_million_tokens():
    assert find_model("gpt-4o-mini").cost_usd(Usage(input_tokens=1_000_000, output_tokens=1_000_000)) == pytest.approx(0.75)


def test_an_unknown_model_names_the_known_ones():
    with pytest.raises(CatalogueError, match="smollm2-135m"):
        find_model("gpt-9")


@pytest.mark.parametrize("field", ["gguf: nowhere:file.gguf", "gguf: /nowhere/file.gguf", "{}"])
def test_missing_weights_say_what_to_do(tmp_path, field):
    path = tmp_path / "models.yaml"
    extra = "" if field == "{}" else f"  {field}\n"
    path.write_text(f"m:\n  provider: embedded\n{extra}  input: 0\n  output: 0\n  top_logprobs: 5\n")
    with pytest.raises(CatalogueError, match=r"make setup|models\.yaml"):
        find_model("m", path).digest()


def test_a_wrong_entry_is_named(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text("good: {provider: openai, input: 0, output: 0, top_logprobs: 0}\nbad: {provider: martian}\n")
    with pytest.raises(CatalogueError, match="'bad'"):
        load_catalogue(path)


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": "  "}])
def test_a_missing_key_names_the_variable_and_the_offline_way(environment):
    with pytest.raises(CatalogueError, match=r"OPENAI_API_KEY.*smollm2-135m"):
        openai_key(environment, "gpt-4o-mini")
