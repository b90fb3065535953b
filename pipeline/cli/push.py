"""Output of `git push -o follow`: the runs of a push."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import click

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.git import GitFailed, run_git
from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.cli.output import print_event_with_reason
from pipeline.store.event_follower import POLL_INTERVAL, EventFollower
from pipeline.store.records import Run, RunState
from pipeline.store.store import Store

# In seconds, for the daemon's scan. A push of a branch that is not run blocks this long.
_START_TIMEOUT = 5.0
# In seconds, for the last event of a finished run. A daemon that was killed writes it only after its restart.
_LAST_EVENT_TIMEOUT = timedelta(seconds=5)
# In seconds, for a daemon that is restarted. Without one, no run can continue.
_RESTART_TIMEOUT = 10.0
# The daemon does not wait for the hook, so the run may have been queued before this process started.
_RECENT = timedelta(minutes=1)
# One scan queues the runs of a push within this time.
_TOGETHER = timedelta(seconds=1)


def follow_push(home: Home, moves: str, clock: Clock | None = None) -> None:
    """Show the runs of the pushed commits until they have finished. `moves` has one `OLD NEW REF` per line."""
    clock = clock or SystemClock()
    words = [line.split() for line in moves.splitlines()]
    heads = {(_commit(found[1]), _short(found[2])) for found in words if len(found) == 3 and found[1].strip("0")}
    if not is_held(home.daemon_lock):
        click.echo("`pipeline serve` is not running: the push will be run after its start")
        return
    with Store(home.database) as store:
        since = clock.now().wall - _RECENT
        runs = _await_runs(store, heads, clock, since)
        if heads and not runs:
            click.echo(f"no run was queued within {_START_TIMEOUT:g} s: `triggers` may not match the pushed refs")
        for run in runs:
            _follow(home, store, clock, run)
            # The commits before a skipped one are run, and its own event would be the end.
            if (earlier := _run_before(store, run)) is not None:
                _follow(home, store, clock, earlier)


def _follow(home: Home, store: Store, clock: Clock, run: Run) -> None:
    """Show the events of a run until it has finished, or until no daemon is there to continue it."""
    follower = EventFollower(store, clock, pipeline=run.pipeline, run=run.number, grace=_LAST_EVENT_TIMEOUT)
    never, served_at = threading.Event(), clock.monotonic()
    while True:
        for _, event in follower.poll():
            print_event_with_reason(event)
        if follower.over:
            return
        if is_held(home.daemon_lock):
            served_at = clock.monotonic()
        elif clock.monotonic() - served_at > _RESTART_TIMEOUT:
            click.echo(f"`pipeline serve` is not running any more: run {run.number} continues after its start")
            return
        clock.wait(never, POLL_INTERVAL)


def _await_runs(store: Store, heads: Collection[tuple[str, str]], clock: Clock, since: datetime) -> list[Run]:
    """Return the runs that this push queued. Earlier runs of the commits, or those of other refs, are left out."""
    deadline, never = clock.monotonic() + _START_TIMEOUT, threading.Event()
    while heads and clock.monotonic() < deadline:
        found = store.queue.of_commits([sha for sha, _ in heads])
        runs = [r for r in found if (r.sha, r.ref) in heads and r.queued_at and r.queued_at > since]
        if runs:
            return runs
        clock.wait(never, POLL_INTERVAL)
    return []


def _run_before(store: Store, run: Run) -> Run | None:
    """Return the run of the commits before a skipped one, if it was queued with it or has not finished."""
    now = store.runs.get(run.pipeline, run.number)
    if now is None or now.state is not RunState.SKIPPED or run.ref is None:
        return None
    earlier = store.runs.previous(run.pipeline, run.number, run.ref)
    if earlier is None or earlier.state is RunState.SUPERSEDED:
        return None
    together = now.queued_at and earlier.queued_at and now.queued_at - earlier.queued_at < _TOGETHER
    return earlier if together or not earlier.state.over else None


def _commit(sha: str) -> str:
    """Return the commit of an annotated tag in the pushed repository, else `sha` itself."""
    with suppress(GitFailed):
        return run_git("rev-parse", "--verify", "--quiet", f"{sha}^{{commit}}", directory=Path.cwd()).decode().strip()
    return sha


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
