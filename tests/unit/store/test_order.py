"""The order of runs: the rule by which a newer run replaces an older one, and what a run waits for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.store.order import MAX_PARALLEL_RUNS, Entry, Mode, next_run, obstacle, supersedes
from pipeline.store.records import RunKind, RunState

MODES: list[Mode] = ["superseded", "queued", "parallel"]


def entry(
    number: int,
    sha: str | None = "a",
    *,
    kind: RunKind = RunKind.RUN,
    state: RunState = RunState.RUNNING,
    direct: bool = False,
    waits: bool = False,
    deploys: bool = False,
) -> Entry:
    return Entry(number, kind, state, sha, direct, waits, deploys)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Draw unfinished runs as the queue can hold them: at most one deploys, and a rollback runs beside waiting ones."""
    found = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        state = draw(st.sampled_from([RunState.QUEUED, RunState.RUNNING]))
        running = state is RunState.RUNNING
        deploys = running and not any(e.deploys for e in found) and draw(st.booleans())
        found.append(
            entry(
                number,
                draw(st.sampled_from(["a", "b", None])),
                kind=draw(st.sampled_from(RunKind)),
                state=state,
                waits=running and not deploys and draw(st.booleans()),
                deploys=deploys,
            )
        )
    return found


any_entry = st.builds(
    entry,
    st.integers(1, 5),
    st.sampled_from(["a", "b", None]),
    kind=st.sampled_from(RunKind),
    state=st.sampled_from(RunState),
    direct=st.booleans(),
    waits=st.booleans(),
    deploys=st.booleans(),
)


@given(newer=any_entry, older=any_entry)
def test_what_is_superseded(newer: Entry, older: Entry) -> None:
    """Only an older, unfinished run of another commit that is not in Deploy, and only by a run that did not fail."""
    if supersedes(newer, older):
        assert older.number < newer.number
        assert older.sha != newer.sha
        assert None not in (older.sha, newer.sha)
        assert (older.kind, newer.kind) == (RunKind.RUN, RunKind.RUN)
        assert not older.state.over
        assert not older.deploys
        assert newer.state in (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED)
        assert not supersedes(older, newer)


@given(newer=any_entry, older=any_entry)
def test_a_run_of_another_commit_supersedes(newer: Entry, older: Entry) -> None:
    """Whatever else is true of the two: approval, trigger and age of the runs do not count."""
    alike = Entry(2, RunKind.RUN, RunState.QUEUED, "b", newer.direct, newer.waits, newer.deploys)
    for state in (RunState.QUEUED, RunState.RUNNING):
        assert supersedes(alike, Entry(1, RunKind.RUN, state, "a", older.direct, older.waits, deploys=False))


@given(runs=entries())
def test_no_two_runs_wait_for_each_other(runs: list[Entry]) -> None:
    """From each running run, its obstacle, the obstacle of that one and so on end at one that has none."""
    by_number = {e.number: e for e in runs}
    for run in runs:
        passed = []
        current: Entry | None = run
        while current is not None and current.state is RunState.RUNNING and not current.deploys:
            assert current not in passed
            passed.append(current)
            current = by_number.get(obstacle(current, runs) or 0)


@given(runs=entries(), number=st.integers(1, 8), kind=st.sampled_from(RunKind))
def test_a_direct_run_waits_for_no_other(runs: list[Entry], number: int, kind: RunKind) -> None:
    """Its process holds the pipeline's lock, so no other run can move."""
    run = entry(number, kind=kind, direct=True)
    assert obstacle(run, [*(e for e in runs if e.number != number), run]) is None


@given(runs=entries(), kind=st.sampled_from([RunKind.ROLLBACK, RunKind.DOWN]))
def test_a_rollback_waits_for_no_queued_run(runs: list[Entry], kind: RunKind) -> None:
    """A queued run does not start beside a rollback, so waiting for one would not end."""
    run = entry(9, kind=kind)
    number = obstacle(run, [*runs, run])
    other = next((e for e in runs if e.number == number), None)
    assert other is None or other.state is RunState.RUNNING


@given(runs=entries(), mode=st.sampled_from(MODES))
def test_the_run_that_starts(runs: list[Entry], mode: Mode) -> None:
    """Runs of commits start in their order. A rollback starts alone, beside runs that wait at a gate."""
    number = next_run(runs, mode)
    if number is None:
        return
    started = next(e for e in runs if e.number == number)
    running = [e for e in runs if e.state is RunState.RUNNING]
    queued = [e.number for e in runs if e.state is RunState.QUEUED]
    assert started.state is RunState.QUEUED
    assert all(e.kind is RunKind.RUN for e in running)
    if started.kind is RunKind.RUN:
        assert number == min(queued)
    else:
        assert all(e.waits for e in running)


def test_a_rollback_passes_runs_behind_a_gate() -> None:
    """An approval that nobody gives holds up the queued runs behind it, but not a rollback."""
    runs = [
        entry(1, waits=True),
        entry(2, "b", state=RunState.QUEUED),
        entry(3, None, kind=RunKind.ROLLBACK, state=RunState.QUEUED),
    ]
    assert next_run(runs, "queued") == 3
    started = [*runs[:2], entry(3, None, kind=RunKind.ROLLBACK)]
    assert obstacle(started[2], started) is None
    assert next_run(started, "queued") is None


@pytest.mark.parametrize("mode", MODES)
def test_a_requeued_run_starts_although_newer_ones_wait_for_it(mode: Mode) -> None:
    """They wait for it before Deploy, so it must not wait for them."""
    newer = [entry(number, waits=True) for number in range(2, MAX_PARALLEL_RUNS + 2)]
    assert next_run([entry(1, state=RunState.QUEUED), *newer], mode) == 1
