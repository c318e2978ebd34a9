"""Rows of a table in Markdown."""

from collections.abc import Iterable


def line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def rule(columns: int) -> str:
    return "|" + " --- |" * columns
