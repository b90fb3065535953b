"""Tables of text: columns that are two spaces or more apart, under heads in capitals."""

from __future__ import annotations

import re
from collections.abc import Sequence


def render(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the lines of a table. No cell may be empty."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def parse(text: str) -> list[dict[str, str]]:
    """Return the rows of a table, by the heads of their columns."""
    heads, *rows = (re.split(r" {2,}", line) for line in text.splitlines())
    return [dict(zip(heads, row, strict=True)) for row in rows]
