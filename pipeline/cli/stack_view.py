"""How stacks are shown: events as lines, and a live tree of resources on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pipeline.base.printable import escape_line
from pipeline.cli.output import clock, date
from pipeline.stacks.plan import current_resources
from pipeline.stacks.records import STACK_TYPE, Stack, StackEvent, StackResource

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from pipeline.cli.stack_session import StackSession

Show = Callable[[StackEvent], None]
_STYLES = {"COMPLETE": "green", "FAILED": "red", "PROGRESS": "cyan", "SKIPPED": "yellow"}
_COLOURS = {**_STYLES, "COMPLETE": None}


def event_line(event: StackEvent, *, dated: bool = False) -> str:
    """Return an event as one line."""
    moment = date(event.at.wall) if dated else clock(event.at.wall)
    reason = f"  {escape_line(event.reason)}" if event.reason else ""
    colour = _COLOURS.get(event.status.rpartition("_")[2])
    status = click.style(event.status, fg=colour) if colour else event.status
    by = f"  by {escape_line(event.by)}" if event.by else ""
    return f"{moment}  {event.logical_id}  {event.type}  {status}{reason}{by}"


@contextmanager
def shown_events(session: StackSession, name: str, *, as_json: bool) -> Iterator[Show]:
    """Yield what shows the events of an operation: a live tree on a terminal, else a line each, or JSON."""
    if as_json:
        from pipeline.http.stack_report import event_response

        stack = session.stacks.find(session.owner, name)
        yield lambda event: click.echo(json.dumps(event_response(stack, event).as_data()))
    elif sys.stdout.isatty():
        with _live_tree(session, name) as show:
            yield show
    else:
        yield lambda event: click.echo(event_line(event))


@contextmanager
def _live_tree(session: StackSession, name: str) -> Iterator[Show]:
    from rich.live import Live

    from pipeline.cli.console import literal_console

    stack_id = session.stacks.find(session.owner, name).id
    console = literal_console()

    def show(event: StackEvent) -> None:
        if event.status.endswith("FAILED"):
            live.console.print(event_line(event))

    with Live(
        get_renderable=lambda: draw(session, session.stacks.store.get(stack_id)),
        console=console,
        refresh_per_second=4,
        vertical_overflow="crop",
    ) as live:
        yield show


def draw(session: StackSession, stack: Stack) -> Tree:
    """Return the tree of a stack's resources, with those of its nested stacks."""
    from rich.tree import Tree

    tree = Tree(_text((stack.name, "bold"), "  ", stack.status, "  ", stack.reason))
    _add_resources(session, tree, stack)
    return tree


def _add_resources(session: StackSession, tree: Tree, stack: Stack) -> None:
    resources = session.stacks.store.resources(stack.id)
    current = current_resources(resources)
    width = max((len(resource.logical_id) for resource in resources), default=0)
    for resource in resources:
        note = "" if current.get(resource.logical_id, resource).token == resource.token else f" ({resource.standing})"
        branch = tree.add(_line(resource, width, note))
        nested = resource.known.type == STACK_TYPE and resource.physical_id
        child = session.stacks.store.find(session.owner, resource.physical_id or "") if nested else None
        if child is not None:
            _add_resources(session, branch, child)


def _line(resource: StackResource, width: int, note: str) -> Text:
    what = resource.reason or resource.physical_id or ""
    return _text(f"{resource.logical_id:<{width}}  {resource.known.type}{note}  ", resource.status, f"  {what}")


def _text(*parts: str | tuple[str, str]) -> Text:
    """Return one line. Words that end in the suffix of a status have its colour."""
    from rich.text import Text

    styled = [
        (escape_line(part), _STYLES.get(part.rpartition("_")[2], "")) if isinstance(part, str) else part
        for part in parts
    ]
    return Text.assemble(*styled, no_wrap=True, overflow="ellipsis")
