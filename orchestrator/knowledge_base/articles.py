"""Articles as files: Markdown with front matter (id, title, keywords, source, reviewed)."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from orchestrator.schema import Record

FENCE = "---"


class Article(Record):
    """One reviewed answer."""

    id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    keywords: tuple[str, ...]
    source: str = Field(min_length=1)
    reviewed: str = Field(description="the day of the last review, YYYY-MM-DD")
    body: str = Field(min_length=1)


def load_articles(folder: Path | None = None) -> list[Article]:
    """Read all articles in the order of their names; ``folder`` defaults to the packaged ones.

    Raises ``ValueError`` that names file and line of the first article that is not valid.
    """
    return [read_article(path) for path in article_paths(folder or packaged_folder())]


def article_paths(folder: Path) -> list[Path]:
    """Return the files that are articles: ``*.md``, except hidden ones (an editor's lock or temporary file)."""
    return sorted(path for path in folder.glob("*.md") if not path.name.startswith("."))


def read_article(path: Path) -> Article:
    """Read one article; raise ``ValueError`` with file:line when it is not valid."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:1: not UTF-8 ({error.reason}); save the file as UTF-8") from None
    if lines[0].rstrip() != FENCE:
        raise ValueError(f"{path}:1: an article begins with {FENCE} and its front matter")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        raise ValueError(f"{path}:1: the front matter is not closed; put {FENCE} on a line of its own after it")
    fields = _front_matter(path, lines[1:end])
    try:
        article = Article(**fields, body="\n".join(lines[end + 1 :]).strip())
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        line = end + 2 if name == "body" else _line_of(name, lines[:end])
        raise ValueError(f"{path}:{line}: {name}: {problem['msg'].lower()}") from None
    if article.id != path.stem:
        raise ValueError(f"{path}:{_line_of('id', lines)}: the id is {article.id!r}; make it equal to the file's name")
    return article


@cache
def article_ids() -> frozenset[str]:
    """Return the ids of the packaged articles."""
    return frozenset(path.stem for path in article_paths(packaged_folder()))


def packaged_folder() -> Path:
    """Return the folder of the articles that come with the package."""
    return Path(str(resources.files("orchestrator") / "knowledge"))


def _front_matter(path: Path, lines: list[str]) -> dict[str, Any]:
    try:
        fields = yaml.safe_load("\n".join(lines))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 2  # YAML counts from 0, and the fence is line 1
        raise ValueError(f"{path}:{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}:2: the front matter is not a list of `name: value` lines")  # noqa: TRY004  # one error for all that is wrong
    given = fields.get("reviewed")
    if given is not None and type(given) is not dt.date:
        raise ValueError(f"{path}:{_line_of('reviewed', ['', *lines])}: reviewed: write the day as YYYY-MM-DD")
    return fields | ({"reviewed": given.isoformat()} if given else {})


def _line_of(name: str, lines: list[str]) -> int:
    """Return the line, from 1, on which a field stands; 1 where it is missing."""
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"{name}:")), 1)
