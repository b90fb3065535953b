"""The daemon runs jobs by the clock: once for each time, and with a report for each time that it does not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.base.time_zone import find_zone
from pipeline.daemon.job_loop import JobLoop
from pipeline.jobs.execution import JobExecution
from pipeline.store.job_run import JobState
from pipeline.testing.fakes.program import Program
from tests.support.job_home import NAME, JobHome
from tests.support.waiting import until

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURLY = '{hourly: {command: [work], schedule: "0 * * * *", timezone: UTC, timeout: 10d}}'


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHome]:
    """A home whose active release has the job `nightly`, at 2:30 on the first of January."""
    home = JobHome(tmp_path, monkeypatch)
    home.deploy()
    yield home
    home.close()


def scheduled(jobs: JobHome) -> list[str]:
    """Return the scheduled time of each run, oldest first."""
    found = reversed(jobs.store.job_runs.all(NAME))
    return [f"{run.scheduled_for:%d %H:%M}" if run.scheduled_for else "-" for run in found]


def skipped(jobs: JobHome) -> list[tuple[str, str]]:
    """Return the first time and the reason of each report of skipped times."""
    events = [event.fields for event in jobs.store.events.latest(NAME) if event.kind == "job.skipped"]
    return [(str(e.get("scheduled_for"))[8:16].replace("T", " "), str(e["reason"])) for e in events]


def finish(jobs: JobHome, number: int) -> None:
    """Let the process of a run exit with 0."""
    run = jobs.run(number)
    until(lambda: run.container in jobs.engine.containers.running(), "the container runs")
    jobs.engine.containers.exit(run.container)
    jobs.until_over(number)


def test_a_job_runs_at_its_time(jobs: JobHome) -> None:
    """The wait is until then, and twenty seconds at most, because the clock may be set."""
    jobs.program = Program(exit_code=0)
    loop = jobs.loop()
    assert loop.step() == timedelta(seconds=20)
    jobs.clock.advance(29 * MINUTE + timedelta(seconds=50))
    assert loop.step() == timedelta(seconds=10)
    assert scheduled(jobs) == []
    jobs.clock.advance(timedelta(seconds=10))
    loop.step()
    assert jobs.until_over().state is JobState.SUCCEEDED
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]
    assert skipped(jobs) == []


def test_a_time_that_comes_while_the_job_runs_is_skipped(jobs: JobHome) -> None:
    """And reported. The next one runs again."""
    jobs.deploy(HOURLY)
    loop = jobs.loop()
    loop.step()
    for _ in range(2):
        jobs.clock.advance(HOUR)
        loop.step()
    assert scheduled(jobs) == ["01 03:00"]
    assert skipped(jobs) == [("01 04:00", "its previous run has not ended")]
    finish(jobs, 1)
    jobs.clock.advance(HOUR)
    loop.step()
    assert scheduled(jobs) == ["01 03:00", "01 05:00"]


def test_what_the_daemon_missed_is_not_run(jobs: JobHome) -> None:
    """But reported, once."""
    jobs.loop().step()
    jobs.clock.advance(26 * HOUR)
    restarted = jobs.loop()
    restarted.step()
    restarted.step()
    jobs.loop().step()
    assert scheduled(jobs) == []
    assert skipped(jobs) == [("01 03:00", "`pipeline serve` did not run")]
    message = next(message for kind, message in jobs.heard() if kind == "job.skipped")
    assert re.fullmatch(r"nightly: not run 2 times, first at .*: `pipeline serve` did not run", message)


def test_one_run_stands_for_a_suspend(jobs: JobHome) -> None:
    """As for scheduled runs of the pipeline."""
    jobs.deploy(HOURLY)
    loop = jobs.loop()
    loop.step()
    jobs.clock.jump(5 * HOUR)
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]
    assert skipped(jobs) == [("01 04:00", "a later run stands for it")]


def test_a_clock_that_is_set_back_repeats_nothing(jobs: JobHome) -> None:
    """By up to an hour, also if the daemon is restarted meanwhile."""
    jobs.program = Program(exit_code=0)
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    jobs.until_over()
    jobs.clock.jump(-50 * MINUTE)
    for each in (loop, jobs.loop()):
        each.step()
        jobs.clock.advance(15 * MINUTE)
        each.step()
    jobs.clock.advance(HOUR)
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]


def test_a_clock_that_was_wrong_by_hours(jobs: JobHome) -> None:
    """The schedule begins again from the right time."""
    jobs.program = Program(exit_code=0)
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    jobs.until_over()
    jobs.clock.jump(-5 * HOUR)
    loop.step()
    jobs.clock.advance(5 * HOUR)
    loop.step()
    jobs.until_over(2)
    assert scheduled(jobs) == ["01 03:00", "01 03:00"]


def test_a_job_of_a_new_release_begins_with_it(jobs: JobHome) -> None:
    """A time between the deployment and the next look is not lost. One before the deployment does not count."""
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(HOUR + 29 * MINUTE + timedelta(seconds=50))
    jobs.deploy(HOURLY)
    jobs.clock.advance(timedelta(seconds=15))
    loop.step()
    assert scheduled(jobs) == ["01 04:00"]
    assert [run.job for run in jobs.store.job_runs.all(NAME)] == ["hourly"]
    assert skipped(jobs) == []


def test_a_changed_schedule_does_not_count_backwards(jobs: JobHome) -> None:
    """Neither its expression nor its time zone."""
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(20 * MINUTE)
    jobs.deploy('{nightly: {command: [work], schedule: "40 2 * * *", timezone: UTC}}')
    loop.step()
    jobs.deploy('{nightly: {command: [work], schedule: "45 3 * * *", timezone: Europe/Berlin}}')
    loop.step()
    jobs.clock.advance(HOUR)
    loop.step()
    assert scheduled(jobs) == []
    assert skipped(jobs) == []


def test_a_run_ends_with_its_release(jobs: JobHome) -> None:
    """A deployment that takes the job out lets its run end, and no other one begins."""
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    jobs.deploy("{worker: {}}")
    loop.step()
    finish(jobs, 1)
    assert (jobs.run().state, jobs.run().release) == (JobState.SUCCEEDED, 1)
    jobs.clock.advance(24 * HOUR)
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]


def kill(jobs: JobHome, loop: JobLoop) -> None:
    """End a daemon as a kill would: its runs are not recorded, and their containers run on."""
    loop.close()
    assert jobs.run().state is JobState.RUNNING


def started(jobs: JobHome) -> JobLoop:
    """Return a daemon whose first run has a container that runs."""
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    until(lambda: jobs.run().container in jobs.engine.containers.running(), "the container runs")
    return loop


def test_the_next_daemon_adopts_a_run(jobs: JobHome) -> None:
    """And records its real end. The time of the run is not run a second time."""
    kill(jobs, started(jobs))
    loop = jobs.loop()
    loop.step()
    jobs.engine.containers.exit(jobs.run().container, 4)
    done = jobs.until_over()
    assert (done.state, done.exit_code) == (JobState.FAILED, 4)
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]
    assert skipped(jobs) == []


def test_a_run_that_ended_while_the_daemon_was_away(jobs: JobHome) -> None:
    """It is recorded with its exit code. One whose container is gone is lost."""
    kill(jobs, started(jobs))
    jobs.engine.containers.exit(jobs.run().container, 0)
    jobs.loop().step()
    assert jobs.until_over().state is JobState.SUCCEEDED


def test_a_container_that_is_gone_after_a_kill(jobs: JobHome) -> None:
    """The run is lost, and not repeated."""
    kill(jobs, started(jobs))
    jobs.engine.containers.forget(jobs.run().container)
    loop = jobs.loop()
    loop.step()
    assert jobs.until_over().state is JobState.LOST
    loop.step()
    assert scheduled(jobs) == ["01 03:00"]


def test_the_run_of_a_command_is_adopted_once_its_process_is_gone(jobs: JobHome) -> None:
    """As long as the command follows it, the daemon does not, and a time that comes is skipped."""
    execution, _ = jobs.start()
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    assert skipped(jobs) == [("01 03:00", "its previous run has not ended")]
    execution.detach()
    until(lambda: JobExecution.adopt(jobs.context(), jobs.run()), "the lock is free").execute(only_ended=True)
    loop.step()
    jobs.engine.containers.exit(execution.run.container, 0)
    assert jobs.until_over().state is JobState.SUCCEEDED


def test_a_run_cannot_begin_while_the_pipeline_goes_down(jobs: JobHome) -> None:
    """Its time stays due, and is tried again in a second."""
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    jobs.store.deployments.begin(NAME, 2, 1, None)
    assert loop.step() == timedelta(seconds=1)
    assert scheduled(jobs) == []


def test_a_time_zone_that_the_machine_does_not_have(jobs: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported once, and the other jobs run."""
    jobs.program = Program(exit_code=0)
    jobs.deploy(
        '{nightly: {schedule: "0 3 * * *", timezone: Europe/Berlin}, other: {schedule: "0 3 * * *", timezone: UTC}}'
    )
    monkeypatch.setattr("pipeline.jobs.job.find_zone", lambda name: UTC if name == "UTC" else find_zone("Europe/Berln"))
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    assert [run.job for run in jobs.store.job_runs.all(NAME)] == ["other"]
    reason = "'Europe/Berln' is not a time zone of this machine; did you mean Europe/Berlin?"
    reports = [message for kind, message in jobs.heard() if kind == "job.skipped"]
    assert reports == [f"nightly is not run by its schedule: {reason}"]


def test_leftovers_are_removed_when_the_engine_is_back(jobs: JobHome) -> None:
    """A container of a run that is over, whose process was killed just before it removed it."""
    kill(jobs, started(jobs))
    jobs.store.job_runs.finish(jobs.run(), JobState.SUCCEEDED, jobs.clock.now().wall, MINUTE, exit_code=0)
    jobs.engine.faults.fail("containers.of", EngineFault("away"))
    loop = jobs.loop()
    loop.step()
    assert jobs.containers() == [jobs.run().container]
    loop.step()
    assert jobs.containers() == []


def test_the_local_time_without_a_zone(jobs: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of TZ."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    jobs.deploy('{nightly: {command: [work], schedule: "0 4 * * *"}}')
    loop = jobs.loop()
    loop.step()
    jobs.clock.advance(31 * MINUTE)
    loop.step()
    assert jobs.run().scheduled_for == datetime(2030, 1, 1, 3, tzinfo=UTC)
