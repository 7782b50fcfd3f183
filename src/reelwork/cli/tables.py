"""How every table of the command line looks."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.table import Table

RIGHT = frozenset(
    {"#", "size", "frames", "at once", "surest", "mean", "done", "failed", "expected", "attempts", "late", "weight"}
)
"""Columns of numbers."""

WHOLE = frozenset({"#", "job", "stage"})
"""Columns of what a person copies into the next command."""


def plain_table(title: str, *columns: str) -> Table:
    """A table without columns' borders, ready for rows."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption_justify="left",
    )
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in RIGHT else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in WHOLE)
    return table
