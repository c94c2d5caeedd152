"""Turn an Altair chart into SVG that takes its colours from the page around it, so that one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import Any

# Colours are the page's CSS variables: Vega writes them into the SVG as they are.
INK, FAINT, GRID = "var(--ink)", "var(--faint)", "var(--grid)"
RAW, CALIBRATED, SYSTEM = "var(--raw)", "var(--calibrated)", "var(--system)"
FONT = "Arial, Helvetica, Liberation Sans, sans-serif"  # what Vega measures texts with, or as wide

_ids = re.compile(r'(id="|url\(#)(\w+)')
_mark = re.compile(r'<(path|text) aria-label="([^"]*)"([^>]*?)(?:/>|>([^<]*)</\1>)')
_group = re.compile(r'(<g [^>]*?)aria-label="[^"]*"')
_noise = re.compile(r' (?:role|aria-roledescription|aria-hidden|font-family)="[^"]*"| opacity="1"')
_long = re.compile(r"-?\d+\.\d{3,}")
_head = re.compile(r'<svg [^>]*?width="([\d.]+)"[^>]*?viewBox="([^"]*)"[^>]*>')


@dataclass(frozen=True)
class Figure:
    """A drawing ready for the page: SVG, and its own width in pixels."""

    svg: str
    width: int


def draw(chart: Any, words: str, name: str) -> Figure:
    """Return an Altair chart as a figure.

    ``words`` say what it shows to those who do not see it; ``name`` sets its ids apart from those of other figures on
    the page. The description of a mark becomes the tooltip that browsers show for it.
    """
    themed = (
        chart.properties(
            padding={"left": 28, "right": 18, "top": 4, "bottom": 4}
        )  # a reader's font may be wider than the one measured with
        .configure(background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor=GRID, domainColor=FAINT, tickColor=FAINT, titleFontWeight="normal", labelLimit=280
        )
        .configure_header(labelColor=INK, titleColor=INK)
        .configure_legend(labelColor=INK, titleColor=INK, titleFontWeight="normal", labelLimit=280)
        .configure_title(color=INK, fontWeight="normal", fontSize=12, anchor="start")
    )
    drawn = io.StringIO()
    themed.save(drawn, format="svg")
    text = drawn.getvalue()
    found = _head.search(text)
    if found is None:
        raise ValueError("the drawing has no size")
    head = (
        f'<svg role="img" aria-label="{escape(words)}" viewBox="{found.group(2)}" font-family="{FONT}" xmlns="http://www.w3.org/2000/svg">'
    )
    body = _noise.sub("", _group.sub(r"\1", _mark.sub(_titled, text[found.end() :])))
    body = _long.sub(lambda number: f"{float(number.group()):.2f}", _ids.sub(rf"\g<1>{name}-\g<2>", body))
    return Figure(head + body, round(float(found.group(1))))


def _titled(mark: re.Match[str]) -> str:
    tag, words, attributes, inside = mark.groups()
    return f"<{tag}{attributes}><title>{words}</title>{inside or ''}</{tag}>"
