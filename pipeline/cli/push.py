"""What becomes of a push, for whoever pushed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import click

from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.cli.output import print_event_with_reason
from pipeline.events import Event
from pipeline.store.records import LAST_EVENTS, Run
from pipeline.store.store import Store

POLL_INTERVAL = 0.05
"""Seconds between two reads of the database."""
# The daemon may take this long to list the refs, in seconds. A push that starts no run waits as long.
RUN_TIMEOUT = 5.0
# How long its last event may take once a run is over, in seconds.
_GRACE = 5.0
# The run may have begun before we did: git waits for the hook, the daemon does not.
_RECENT = timedelta(minutes=1)


def follow_push(home: Home, moves: str, timeout: float = RUN_TIMEOUT) -> None:
    """Show the runs of the commits that refs have moved to, `OLD NEW REF` a line, until they are over.

    Waits up to `timeout` seconds for the runs to be queued.
    """
    words = [line.split() for line in moves.splitlines()]
    heads = {found[1]: _short(found[2]) for found in words if len(found) == 3 and found[1].strip("0")}
    if not is_held(home.daemon_lock):
        click.echo("nobody serves this repository now: it will be run when `pipeline serve` is back")
        return
    with Store(home.database) as store:
        runs = _await_runs(store, heads, timeout)
        if heads and not runs:
            click.echo(f"no run has come of this within {timeout:g} s: branches and tags are run as `triggers` says")
        for run in runs:
            for event in _events(store, run):
                print_event_with_reason(event)


def _await_runs(store: Store, heads: Mapping[str, str], timeout: float) -> list[Run]:
    """The runs that are made of these commits now: what became of one when it was elsewhere is another story."""
    deadline, since = time.monotonic() + timeout, datetime.now(UTC) - _RECENT
    while heads and time.monotonic() < deadline:
        found = store.queue.of_commits(list(heads))
        runs = [r for r in found if r.ref == heads[r.sha or ""] and r.queued_at and r.queued_at > since]
        if runs:
            return runs
        time.sleep(POLL_INTERVAL)
    return []


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _events(store: Store, run: Run) -> Iterator[Event]:
    """What happens in a run, to its last event; that one comes a moment after the run is over."""
    last, over_for = 0, 0.0
    while over_for < _GRACE:
        now = store.runs.get(run.pipeline, run.number)
        for number, event in store.events.after(run.pipeline, last, run=run.number):
            last = number
            yield event
            if event.kind in LAST_EVENTS:
                return
        over_for += POLL_INTERVAL if now is None or now.state.over else 0.0
        time.sleep(POLL_INTERVAL)
