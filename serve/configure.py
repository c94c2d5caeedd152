"""Read the settings of an environment, and name everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import PydanticBaseSettingsSource

from orchestrator.errors import OrchestratorError
from serve.allowed import allowed, default_of
from serve.checks import check
from serve.misspelt import misspelt
from serve.settings import Settings

LONGEST_NUMBER = 20  # characters of a value that is shown: nobody's password


class SettingsError(OrchestratorError):
    """Settings cannot be used; each line of the text is one problem, ``VARIABLE: what is wrong: what to do``."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems."""
        self.problems = problems
        super().__init__("\n".join(problems))


class _Given(Settings):
    """Settings of what is given alone, whatever this process's environment holds."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        return (sources["init_settings"],)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an environment; raise ``SettingsError`` with all problems when there are any."""
    settings, problems = _examined(environment)
    if problems:
        raise SettingsError(problems)
    return settings


def problems_of(environment: Mapping[str, str]) -> list[str]:
    """Return all problems of an environment's settings. No secret is in them."""
    return _examined(environment)[1]


def _examined(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    values = {name.lower(): value for name, value in environment.items() if value and name.lower() in Settings.model_fields}
    settings, refused = _read(values)
    wrong = misspelt(environment, [name.upper() for name in Settings.model_fields])
    problems = [
        *refused.values(),
        *check(settings, unusable=refused),
        *(
            f"{name}: there is no such setting: did you mean {meant}? If it is another program's, set {meant} too, empty if need be"
            for name, meant in wrong
        ),
    ]
    return settings, problems


def _read(values: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Return the settings, with defaults in place of what is refused, and what is wrong with that by setting."""
    try:
        return _Given(**values), {}
    except ValidationError as error:
        refused: dict[str, str] = {}
        for one in error.errors(include_url=False):
            name = str(one["loc"][0])
            refused.setdefault(name, f"{name.upper()}: {_wrong(name, one)}")
    return _Given(**{name: value for name, value in values.items() if name not in refused}), refused


def _wrong(name: str, error: ErrorDetails) -> str:
    if error["type"] == "value_error":  # a validator's own words
        return str(error["ctx"]["error"])
    field = Settings.model_fields[name]
    default = default_of(field)
    return f"{_shown(error['input'])} is not usable: give {_article(allowed(field))}, or unset it{f' for {default}' if default else ''}"


def _shown(value: Any) -> str:
    """Return a number as it was given, and of anything else nothing: somebody may have put a password into the wrong variable."""
    text = str(value).strip()
    return text if len(text) <= LONGEST_NUMBER and text.strip("+-").replace(".", "", 1).isdecimal() else "the value"


def _article(words: str) -> str:
    return words if words.startswith(("`", "one")) else f"a {words}"
