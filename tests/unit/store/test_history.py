"""Removal of old runs."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.base.clock import SYSTEM
from pipeline.events import Event
from pipeline.store.records import DeploymentState, RunState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def test_the_last_successful_run_is_never_pruned(store: Store) -> None:
    """The last successful run is kept, because the next run is compared with it."""
    for number in range(1, 31):
        run = begin_run(store, "shop")
        store.events.record(Event("x", "y", "shop", run.number))
        store.runs.finish("shop", run.number, RunState.SUCCEEDED if number == 3 else RunState.FAILED)
    gone = store.history.prune("shop", keep=10)
    assert gone == [n for n in range(1, 21) if n != 3]
    assert [r.number for r in store.runs.latest("shop", 100)] == [*range(30, 20, -1), 3]
    assert {e.run for e in store.events.latest("shop")} == {*range(21, 31), 3}


def test_events_of_no_run_are_pruned_with_the_oldest_run(store: Store) -> None:
    """Events of repairs are pruned with the oldest run, so they do not accumulate."""
    store.events.record(Event("reconcile.drift", "long ago", "shop", at=datetime(2020, 1, 1, tzinfo=UTC)))
    for _ in range(3):
        store.runs.finish("shop", begin_run(store, "shop").number, RunState.SUCCEEDED)
    store.events.record(Event("reconcile.drift", "just now", "shop"))
    store.history.prune("shop", keep=2)
    assert [event.message for event in store.events.latest("shop")] == ["just now"]


def test_events_of_no_run_have_a_limit(store: Store) -> None:
    """The latest are kept, beside those of other pipelines, of runs, and of a job's run that is kept."""
    run = begin_run(store, "shop")
    store.runs.finish("shop", run.number, RunState.SUCCEEDED)
    release = store.releases.create("shop", 1, sha="a", subject="", image_id="i", image_tag="t", spec="{}")
    row = store.deployments.begin("shop", 1, None, release.number)
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert store.job_runs.begin("shop", "nightly", release.number, "shop.nightly.r1.abc", SYSTEM.now())
    store.events.record(Event("run.started", "of a run", "shop", 1))
    store.events.record(Event("job.started", "of a job's run", "shop", fields={"job": "nightly", "job_run": 1}))
    store.events.record(Event("job.started", "of a deleted job's run", "shop", fields={"job": "nightly", "job_run": 7}))
    store.events.record(Event("backup.finished", "of another pipeline", "blog"))
    for number in range(5):
        store.events.record(Event("backup.finished", f"backup {number}", "shop"))
    store.history.prune_events("shop", keep=2)
    kept = [event.message for event in store.events.latest("shop")]
    assert kept == ["of a run", "of a job's run", "backup 3", "backup 4"]
    assert len(store.events.latest("blog")) == 1


def test_runs_that_are_not_over_are_never_pruned(store: Store) -> None:
    """Unfinished runs are kept, even if fewer runs should be."""
    begin_run(store, "shop")
    store.runs.finish("shop", begin_run(store, "shop").number, RunState.FAILED)
    assert store.history.prune("shop", keep=0) == [2]
    assert [run.number for run in store.runs.latest("shop")] == [1]
