"""Print a Markdown table, row by row as it is measured."""

from __future__ import annotations


def head(*names: str) -> None:
    """Print the head: the first column is text, the others are figures."""
    print("| " + " | ".join(names) + " |")
    print("|---" + "|--:" * (len(names) - 1) + "|", flush=True)


def row(*cells: object) -> None:
    """Print one row."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
