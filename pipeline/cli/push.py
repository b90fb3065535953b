"""What becomes of a push, for whoever pushed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from pipeline.cli.output import show_line
from pipeline.events import Event
from pipeline.home import Home
from pipeline.store.records import Run
from pipeline.store.store import Store

_LOOK = 0.05
# So long a look at the repository may take.
_PATIENCE = 15.0


def follow_push(home: Home, moves: str) -> None:
    """Show the runs of the commits that refs have moved to, `OLD NEW REF` a line, until they are over."""
    commits = [words[1] for line in moves.splitlines() if len(words := line.split()) == 3 and words[1].strip("0")]
    if not home.socket.exists():
        click.echo("nobody serves this repository now: it will be run when `pipeline serve` is back")
        return
    with Store(home.database) as store:
        runs = _await_runs(store, commits)
        if not runs:
            click.echo("this starts no run")
        for run in runs:
            for event in _events(store, run):
                show_line(event)


def _await_runs(store: Store, commits: list[str]) -> list[Run]:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if runs := store.queue.of_commits(commits):
            return runs
        time.sleep(_LOOK)
    return []


def _events(store: Store, run: Run) -> Iterator[Event]:
    last = 0
    while True:
        now = store.run(run.pipeline, run.number)
        for number, event in store.events_after(run.pipeline, last, run=run.number):
            last = number
            yield event
        if now is None or now.state.over:
            return
        time.sleep(_LOOK)
