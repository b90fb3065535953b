"""`pipeline events`: list events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import LARGEST
from pipeline.cli.output import print_event_with_reason
from pipeline.cli.session import Session, json_option, pipeline_options, session

if TYPE_CHECKING:
    from pipeline.events import Event
    from pipeline.store.event_filter import EventFilter


@click.command("events")
@click.argument("run", type=click.IntRange(1, LARGEST), required=False)
@pipeline_options
@click.option("-n", "count", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Number of events.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, or all of a noun such as target.")
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), help="Only events of at least this.")
@click.option("--before", type=click.IntRange(1, LARGEST), help="Only events before this one, by its `id` in --json.")
@click.option("--follow", "following", is_flag=True, help="Continue with new events, until Ctrl-C.")
@json_option
def command(
    run: int | None,
    file: Path,
    parameters: tuple[str, ...],
    count: int,
    kinds: tuple[str, ...],
    severity: str | None,
    before: int | None,
    following: bool,
    as_json: bool,
) -> None:
    """List the latest events of the pipeline, or of RUN, newest last."""
    if before and following:
        raise ConfigError("--before and --follow exclude each other", hint="give one of the two")
    with session(file, parameters) as opened:
        if run and opened.store.runs.get(opened.name, run) is None:
            raise ConfigError(f"there is no run {run}", hint="list runs with `pipeline history`")
        wanted = _filter(opened.name, run, kinds, severity)
        # Before the latest are read, so that an event in between is among those that follow.
        last = opened.store.events.last_id()
        first = min(before or LARGEST, last + 1)
        _show(reversed(opened.store.events.older(wanted, first, count)), as_json=as_json)
        if following:
            _follow(opened, wanted, last, as_json=as_json)


def _filter(pipeline: str, run: int | None, kinds: tuple[str, ...], severity: str | None) -> EventFilter:
    from pipeline.event_severity import SEVERITIES, kinds_named
    from pipeline.store.event_filter import EventFilter

    try:
        found = kinds_named(kinds)
    except ValueError as error:
        raise ConfigError(f"--kind: {error}") from None
    return EventFilter(pipeline, run, found, next((each for each in SEVERITIES if each == severity), None))


def _follow(opened: Session, wanted: EventFilter, last: int, *, as_json: bool) -> None:
    from pipeline.base.clock import SYSTEM
    from pipeline.store.event_follower import POLL_INTERVAL, EventFollower

    follower, never = EventFollower(opened.store, SYSTEM, last, wanted=wanted), threading.Event()
    # Ctrl-C is the way to stop it.
    with suppress(KeyboardInterrupt):
        while True:
            _show(follower.poll(), as_json=as_json)
            SYSTEM.wait(never, POLL_INTERVAL)


def _show(events: Iterable[tuple[int, Event]], *, as_json: bool) -> None:
    for number, event in events:
        if as_json:
            from pipeline.http.responses.event import NumberedEventLine

            click.echo(json.dumps(NumberedEventLine.of(number, event).as_data()))
        else:
            print_event_with_reason(event)
