"""Full-width output of rich's tables and trees."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.console import Console, RenderableType
from rich.table import Table

_MAX_WIDTH = 10_000


def literal_console() -> Console:
    """Return a console that prints text literally, without markup, emoji and highlighting."""
    return Console(markup=False, emoji=False, highlight=False)


def show(drawn: RenderableType) -> None:
    """Print at the width of the content, so that nothing is wrapped or cut. Uses colours on a terminal only."""
    console = literal_console()
    whole = console.options.update(max_width=_MAX_WIDTH)
    console.width = max(1, console.measure(drawn, options=whole).maximum)
    with console.capture() as captured:
        console.print(drawn)
    # rich pads the last column. In a narrow terminal, the spaces would wrap into empty lines.
    click.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def table(rows: Iterable[Iterable[str]], *header: str) -> Table:
    """Return a table without borders whose columns are as wide as their content."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="none")
    for name in header:
        drawn.add_column(name.upper(), no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    return drawn
