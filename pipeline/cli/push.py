"""Output of `git push -o follow`: the runs of a push."""

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

_POLL_INTERVAL = timedelta(milliseconds=50)
# In seconds, for the daemon's scan. A push of a branch that is not run blocks this long.
_START_TIMEOUT = 5.0
# For the last event of a finished run. A daemon that is killed writes it only when it is started again.
_LAST_EVENT_TIMEOUT = timedelta(seconds=5)
# The daemon does not wait for the hook, so the run may have been queued before this process started.
_RECENT = timedelta(minutes=1)


def follow_push(home: Home, moves: str, clock: Clock | None = None) -> None:
    """Show the runs of the pushed commits until they have finished. `moves` has one `OLD NEW REF` per line."""
    clock = clock or SystemClock()
    words = [line.split() for line in moves.splitlines()]
    heads = {found[1]: _short(found[2]) for found in words if len(found) == 3 and found[1].strip("0")}
    if not is_held(home.daemon_lock):
        click.echo("`pipeline serve` is not running: the push will be run after its start")
        return
    with Store(home.database) as store:
        runs = _await_runs(store, heads, clock)
        if heads and not runs:
            click.echo(f"no run was queued within {_START_TIMEOUT:g} s: `triggers` may not match the pushed refs")
        for run in runs:
            follower = EventFollower(store, clock, pipeline=run.pipeline, run=run.number, grace=_LAST_EVENT_TIMEOUT)
            for event in follower.follow():
                print_event_with_reason(event)


def _await_runs(store: Store, heads: Mapping[str, str], clock: Clock) -> list[Run]:
    """Return the runs that this push queued. Earlier runs of the commits, or those of other refs, are left out."""
    deadline, since, never = clock.monotonic() + _START_TIMEOUT, clock.now().wall - _RECENT, threading.Event()
    while heads and clock.monotonic() < deadline:
        found = store.queue.of_commits(list(heads))
        runs = [r for r in found if r.ref == heads[r.sha or ""] and r.queued_at and r.queued_at > since]
        if runs:
            return runs
        clock.wait(never, _POLL_INTERVAL)
    return []


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
