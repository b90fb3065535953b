"""The order of runs: which one starts next, which one waits, and which one a newer run replaces.

Pure functions of the runs of one pipeline. `RunQueue` calls them within a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.store.records import RunKind, RunState

Mode = Literal["superseded", "queued", "parallel"]
# The most runs of one pipeline that execute at the same time in the mode `parallel`.
MAX_PARALLEL_RUNS = 4


@dataclass(frozen=True)
class Entry:
    """The fields of a run that decide its order.

    `sha` is None until the commit is known. `direct` is True for a run that a command executes without the daemon.
    `waits` is True at a gate, and `deploys` after the gate of Deploy. `continues` is True for a run that was
    interrupted in a deployment and continues it.
    """

    number: int
    kind: RunKind
    state: RunState
    sha: str | None
    direct: bool
    waits: bool
    deploys: bool
    continues: bool = False


def supersedes(newer: Entry, older: Entry) -> bool:
    """Return whether a run replaces an older one in the mode `superseded`.

    `newer` may have succeeded already. `older` is queued, or running and not yet in Deploy. A run replaces runs of
    other commits only. Otherwise a schedule whose interval is shorter than a run would replace each run by the next
    one, and nothing would be deployed. A run that continues a deployment is replaced by a direct run only, which starts
    first and undoes or continues that deployment itself. Commits count as different only if both are known and unequal.
    """
    return (
        older.number < newer.number
        and older.kind is newer.kind is RunKind.RUN
        and newer.state in (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED)
        and not (older.state.over or older.deploys or (older.continues and not newer.direct))
        and older.sha is not None
        and newer.sha is not None
        and older.sha != newer.sha
    )


def next_run(entries: Iterable[Entry], mode: Mode) -> int | None:
    """Return the number of the queued run that starts next, or None if none may start now."""
    ordered = sorted(entries, key=lambda entry: entry.number)
    running = [entry for entry in ordered if entry.state is RunState.RUNNING]
    if any(entry.kind is not RunKind.RUN for entry in running):
        return None  # Rollback and down run alone.
    blocked = False
    for entry in (entry for entry in ordered if entry.state is RunState.QUEUED):
        if entry.kind is not RunKind.RUN:
            # A rollback overtakes runs that wait for a transition or an approval, so it works while deployments are
            # blocked. It also overtakes queued runs, which start only after the waiting runs end.
            if all(other.waits for other in running):
                return entry.number
        elif not blocked and _may_begin(entry, running, mode):
            return entry.number
        blocked = True
    return None


def obstacle(run: Entry, entries: Iterable[Entry]) -> int | None:
    """Return the number of the run that must end before `run` may enter Deploy, or None.

    The answer is always a run that can move. A direct run has no obstacle: its process holds the pipeline's lock, so
    no other process can execute a run. A rollback does not wait for queued runs, which do not start before it ends.
    """
    if run.direct:
        return None
    for other in sorted(entries, key=lambda entry: entry.number):
        if other.number == run.number:
            continue
        older = other.number < run.number
        if run.kind is not RunKind.RUN:
            older = older and other.state is RunState.RUNNING and not other.waits
        if older or other.deploys:
            return other.number
    return None


def _may_begin(entry: Entry, running: Sequence[Entry], mode: Mode) -> bool:
    # A newer run that is already running waits for this one before Deploy, so this one must not wait for it.
    older = [other for other in running if other.number < entry.number]
    if mode == "parallel":
        return not older or len(running) < MAX_PARALLEL_RUNS
    if mode == "queued":
        return not older
    return all(other.deploys for other in older)
