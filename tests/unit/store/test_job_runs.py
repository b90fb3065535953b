"""The runs of jobs in the store: one at a time, kept up to a limit, with their events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.clock import Stamp
from pipeline.events import Event
from pipeline.store.job_run import JobRun, JobSchedule, JobState
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(store: Store) -> Store:
    """A store whose pipeline has release 1."""
    begin_run(store, "shop")
    made = store.releases.create("shop", 1, sha="a" * 40, subject="", image_id="1", image_tag="1", spec="{}")
    store.deployments.finish(store.deployments.begin("shop", 1, None, made.number), DeploymentState.SUCCEEDED)
    return store


def begin(store: Store, job: str = "nightly", hour: int = 0) -> JobRun | None:
    """Begin a run of a job at an hour."""
    return store.job_runs.begin("shop", job, 1, f"shop.{job}.{hour}", Stamp(START + hour * HOUR, "boot", 1.5))


def run(store: Store, job: str = "nightly", hour: int = 0) -> JobRun:
    """Begin a run, and end it after a second."""
    begun = begin(store, job, hour)
    assert begun is not None
    store.job_runs.finish(begun, JobState.SUCCEEDED, START + hour * HOUR, timedelta(seconds=1), exit_code=0)
    found = store.job_runs.get("shop", begun.number)
    assert found is not None
    return found


def test_a_run_is_read_as_it_was_stored(store: Store) -> None:
    """Before its end and after it."""
    begun = store.job_runs.begin("shop", "nightly", 1, "c", Stamp(START, "boot", 1.5), START - HOUR)
    assert begun is not None
    assert (begun.number, begun.state, begun.scheduled_for) == (1, JobState.RUNNING, START - HOUR)
    assert (begun.started, begun.ended_at, begun.took) == (Stamp(START, "boot", 1.5), None, None)
    store.job_runs.finish(begun, JobState.FAILED, START, timedelta(seconds=2), exit_code=3, reason="exit code 3")
    store.job_runs.finish(begun, JobState.SUCCEEDED, START + HOUR, HOUR)
    ended = store.job_runs.get("shop", 1)
    assert ended is not None
    assert (ended.state, ended.exit_code, ended.reason, ended.ended_at, ended.duration) == (
        *(JobState.FAILED, 3, "exit code 3", START),
        timedelta(seconds=2),
    )


def test_two_processes_cannot_begin_the_same_job(store: Store, tmp_path: Path) -> None:
    """Another job begins beside it, and a run of another pipeline has a number of its own."""
    with Store(tmp_path / "penstock.db") as other:
        assert begin(store) is not None
        assert begin(other) is None
        assert begin(other, "hourly") is not None
        assert other.job_runs.begin("blog", "nightly", 1, "c", Stamp.from_wall(START)) is None
        assert [each.job for each in store.job_runs.running("shop")] == ["nightly", "hourly"]


def test_what_is_handled_is_stored_with_the_run(store: Store) -> None:
    """Or not at all, if the run may not begin."""
    handled = JobSchedule("0 3 * * *", None, START)
    stamp = Stamp.from_wall(START)
    assert store.job_runs.begin("shop", "nightly", 2, "c", stamp, START, handled) is None
    assert store.job_runs.schedule("shop", "nightly") is None
    assert store.job_runs.begin("shop", "nightly", 1, "c", stamp, START, handled) is not None
    assert store.job_runs.schedule("shop", "nightly") == handled
    store.job_runs.forget_schedules("shop")
    assert store.job_runs.schedule("shop", "nightly") is None


def test_the_last_run_of_each_job(store: Store) -> None:
    """And the latest runs of one."""
    for hour, job in enumerate(("nightly", "hourly", "nightly")):
        run(store, job, hour)
    assert {job: each.number for job, each in store.job_runs.last_of_each("shop").items()} == {
        "nightly": 3,
        "hourly": 2,
    }
    assert [each.number for each in store.job_runs.latest("shop", "nightly")] == [3, 1]
    assert [each.number for each in store.job_runs.latest("shop", limit=2)] == [3, 2]


def test_old_runs_are_deleted_with_their_events(store: Store) -> None:
    """Not those of other jobs, and never the latest run or one that has not ended."""
    for hour in range(4):
        for job in ("nightly", "hourly"):
            run(store, job, hour)
            at = START + hour * HOUR
            store.events.record(Event("job.succeeded", f"{job} {hour}", "shop", fields={"job": job}, at=at))
    store.events.record(Event("serve.started", "served", "shop", at=START))
    store.job_runs.prune("shop", "nightly", keep=2)
    assert [each.number for each in store.job_runs.latest("shop", "nightly")] == [7, 5]
    heard = [event.message for event in store.events.latest("shop")]
    assert heard == ["hourly 0", "hourly 1", "nightly 2", "hourly 2", "nightly 3", "hourly 3", "served"]
    store.job_runs.prune("shop", "nightly", keep=2, since=START + 100 * HOUR)
    assert [each.number for each in store.job_runs.latest("shop", "nightly")] == [7]
    begin(store, "nightly", 9)
    store.job_runs.prune("shop", "nightly", keep=1)
    assert [each.number for each in store.job_runs.latest("shop", "nightly")] == [9, 7]


def test_when_a_release_became_active(store: Store) -> None:
    """None for one that never was."""
    assert store.job_runs.active_since("shop", 2) is None
    assert store.job_runs.active_since("shop", 1) is not None
