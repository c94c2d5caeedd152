"""Put text into Markdown as data: it is shown as it is, and cannot render, link, mention anybody or end what it stands in."""

from __future__ import annotations

import re
import unicodedata

from orchestrator.redact import redact

MOST_CHARS = 160
# Words and plain punctuation that mean nothing to GitHub's Markdown; an underscore only within a word.
_PLAIN = re.compile(r"(?:[A-Za-z]|\d+ )(?:[A-Za-z0-9 ,;%='()+./-]|: |(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*…?")
_LINKED = re.compile(r"(?i)www\.|\bgh-\d|\b[0-9a-f]{7,40}\b")  # what GitHub makes a link of without any mark


def quoted(message: str) -> str:
    """Return a message as inline code: on one line, personal data redacted, no longer than ``MOST_CHARS``."""
    return code(shortened(redact(one_line(message)), MOST_CHARS))


def plain(text: str, most: int = 400) -> str:
    """Return a sentence of the harness's own as it is, on one line and shortened; as inline code where it holds anything unusual."""
    line = shortened(one_line(text[: 4 * most]), most)  # a reason may name thousands of ids: only its beginning is shown
    return line if _PLAIN.fullmatch(line) and not _LINKED.search(line) else code(line)


def named(name: str) -> str:
    """Return an id as inline code that may stand in a table: a pipe, which no id needs, would end the cell."""
    return code(shortened(one_line(name), MOST_CHARS).replace("|", "\u00a6"))


def code(text: str) -> str:
    """Return text as inline code, fenced with more backticks than any run within it. Only ``named`` may stand in a table.

    Source: CommonMark 0.31, "Code spans". GitHub neither links nor mentions anything in one.
    """
    line = one_line(text) or "(empty)"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def one_line(text: str) -> str:
    """Return text with every run of white space as one space, without control, format, private and unassigned characters.

    Format characters (category Cf) go because they can turn the order of what follows and hide letters.
    """
    spaced = " ".join(text.split())
    return " ".join("".join(char for char in spaced if unicodedata.category(char)[0] != "C").split())


def shortened(text: str, most: int) -> str:
    """Return text of at most ``most`` characters, the last an ellipsis where something was cut off."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
