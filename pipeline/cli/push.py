"""What becomes of a push, for whoever pushed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta

import click

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.cli.output import print_event_with_reason
from pipeline.store.event_follower import EventFollower
from pipeline.store.records import Run
from pipeline.store.store import Store

_LOOK = timedelta(milliseconds=50)
# So long a look at the repository may take, in seconds; whoever pushes a branch that is not run waits as long.
_PATIENCE = 5.0
# How long its last event may take once a run is over. A daemon that is killed never writes it.
_GRACE = timedelta(seconds=5)
# The run may have begun before we did: git waits for the hook, the daemon does not.
_RECENT = timedelta(minutes=1)


def follow_push(home: Home, moves: str, clock: Clock | None = None) -> None:
    """Show the runs of the commits that refs have moved to, `OLD NEW REF` a line, until they are over."""
    clock = clock or SystemClock()
    words = [line.split() for line in moves.splitlines()]
    heads = {found[1]: _short(found[2]) for found in words if len(found) == 3 and found[1].strip("0")}
    if not is_held(home.daemon_lock):
        click.echo("nobody serves this repository now: it will be run when `pipeline serve` is back")
        return
    with Store(home.database) as store:
        runs = _await_runs(store, heads, clock)
        if heads and not runs:
            click.echo(f"no run has come of this within {_PATIENCE:g} s: branches and tags are run as `triggers` says")
        for run in runs:
            follower = EventFollower(store, clock, pipeline=run.pipeline, run=run.number, grace=_GRACE)
            for event in follower.follow():
                print_event_with_reason(event)


def _await_runs(store: Store, heads: Mapping[str, str], clock: Clock) -> list[Run]:
    """The runs that are made of these commits now: what became of one when it was elsewhere is another story."""
    deadline, since, never = clock.monotonic() + _PATIENCE, clock.now().wall - _RECENT, threading.Event()
    while heads and clock.monotonic() < deadline:
        found = store.queue.of_commits(list(heads))
        runs = [r for r in found if r.ref == heads[r.sha or ""] and r.queued_at and r.queued_at > since]
        if runs:
            return runs
        clock.wait(never, _LOOK)
    return []


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
