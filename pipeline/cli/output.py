"""Output as text and JSON: events, times, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import click

from pipeline.events import Event

_COLOURS = {"failed": "red", "interrupted": "yellow", "warning": "yellow", "healthy": "green"}


def print_event(event: Event) -> None:
    """Print an event as one line with local time and message."""
    click.echo(line(event))


def print_event_with_reason(event: Event) -> None:
    """Print an event as one line, and below it the reason, output and hint of a failed run."""
    print_event(event)
    if "code" not in event.fields:
        return
    reason, tail, hint = (str(event.fields.get(key) or "") for key in ("reason", "tail", "hint"))
    below = [*reason.splitlines(), *(f"| {text}" for text in tail.splitlines()), *([f"hint: {hint}"] if hint else [])]
    for text in below:
        click.echo(f"{'':12}{text}")


def line(event: Event) -> str:
    """Return an event as one line."""
    ending = event.kind.rpartition(".")[2]
    text = click.style(event.message, fg=_COLOURS[ending]) if ending in _COLOURS else event.message
    return f"{clock(event.at)}  {text}"


def show_json(event: Event) -> None:
    """Print an event as one JSON object."""
    # Imported here, since most commands print no JSON and need no pydantic.
    from pipeline.http.responses.event import EventLine

    click.echo(json.dumps(EventLine.from_event(event).as_data()))


def clock(moment: datetime) -> str:
    """Return the local time of day, to the tenth of a second."""
    local = moment.astimezone()
    return f"{local:%H:%M:%S}.{local.microsecond // 100_000}"


def date(moment: datetime) -> str:
    """Return the local date and time."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def table(rows: Sequence[tuple[str, ...]], *header: str) -> None:
    """Print rows in columns as wide as their content, without trailing spaces."""
    lines: list[tuple[str, ...]] = [tuple(h.upper() for h in header), *rows]
    widths = [max(len(row[i]) for row in lines) for i in range(len(header))]
    for row in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
