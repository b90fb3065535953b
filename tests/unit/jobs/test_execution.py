"""A run of a job from its start to its recorded end, with kills, faults of the engine, timeouts and cancels."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.lock import is_held
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RUN
from pipeline.jobs import output
from pipeline.jobs.execution import JobExecution
from pipeline.jobs.job import find_job
from pipeline.jobs.stop import record_ended, remove_leftovers, stop_all, stop_run
from pipeline.store.job_run import JobRun, JobState
from pipeline.testing.fakes.program import Program
from stages.deploy.image_retention import prune
from tests.support.job_home import JOB, NAME, SECRET, START, JobHome
from tests.support.waiting import DEADLINE, until


def lines_of(jobs: JobHome, run: JobRun) -> list[str]:
    """Return the text of each line in a run's log."""
    return [json.loads(line)["text"] for line in jobs.log(run).splitlines()]


def test_a_run_is_recorded_with_its_output(jobs: JobHome) -> None:
    """Its container has the environment and the limits of the release, and is removed. Secrets are masked."""
    jobs.program = Program(lines=("one", f"key {SECRET}"), exit_code=0)
    execution = jobs.begin()
    done = execution.execute()
    assert (done.state, done.exit_code, done.reason, done.release) == (JobState.SUCCEEDED, 0, "", 1)
    assert (done.started.wall, done.ended_at, done.took) == (START, START, timedelta(0))
    assert lines_of(jobs, done) == ["one", "key ***"]
    assert not jobs.containers()
    assert not jobs.home.lock(done.container).exists()
    assert [kind for kind, _ in jobs.heard()] == ["job.started", "job.succeeded"]
    assert jobs.heard()[1] == ("job.succeeded", "nightly: run 1 succeeded in 0.0 s")


def test_a_run_gets_no_requests(jobs: JobHome) -> None:
    """It joins the networks of its settings, without the names that a service has there."""
    jobs.deploy(f"{{nightly: {JOB.replace('{command', '{networks: {edge: {aliases: [shop]}, logs: {}}, command')}}}")
    for network in ("edge", "logs"):
        jobs.engine.networks.add(network)
    jobs.start()
    (spec,) = (each for each in jobs.engine.containers.specs() if each.name == jobs.run().container)
    assert spec.options.networks == {"edge": (), "logs": ()}
    assert spec.aliases == ()


@pytest.mark.parametrize(
    ("program", "state", "code", "reason"),
    [
        (Program(exit_code=3), JobState.FAILED, 3, "exit code 3"),
        (Program(refusal="no such file"), JobState.FAILED, None, "cannot start: {} cannot be started: no such file"),
    ],
)
def test_a_run_that_fails(jobs: JobHome, program: Program, state: JobState, code: int | None, reason: str) -> None:
    """It has its exit code, or the reason why it cannot start."""
    jobs.program = program
    done = jobs.begin().execute()
    assert (done.state, done.exit_code, done.reason) == (state, code, reason.format(done.container))
    assert jobs.heard()[-1] == ("job.failed", f"nightly: run 1 failed: {done.reason}")


def test_a_run_out_of_memory(jobs: JobHome) -> None:
    """The reason says so."""
    _, thread = jobs.start()
    jobs.engine.containers.exit(jobs.run().container, 137, oom_killed=True)
    thread.join(DEADLINE)
    assert jobs.run().reason == "used more memory than its limit allows: killed"


def test_one_at_a_time(jobs: JobHome) -> None:
    """A second run of the job does not begin, and neither does one of a release that is not active any more."""
    job = jobs.job()
    jobs.start()
    assert JobExecution.begin(jobs.context(), job) is None
    jobs.deploy()
    assert JobExecution.begin(jobs.context(), replace(jobs.job(), release=1)) is None
    assert [run.number for run in jobs.store.job_runs.latest(NAME)] == [1]


def test_no_run_begins_while_all_is_removed(jobs: JobHome) -> None:
    """The deployment to nothing is open. Nothing is left of the attempt."""
    jobs.store.deployments.begin(NAME, 2, 1, None)
    assert JobExecution.begin(jobs.context(), jobs.job()) is None
    # The daemon tries again each second.
    assert list(jobs.home.locks.glob("*.nightly.*")) == []


def test_a_run_that_takes_too_long_is_stopped(jobs: JobHome) -> None:
    """After its timeout."""
    _, thread = jobs.start()
    jobs.clock.advance(timedelta(minutes=59, seconds=59))
    assert thread.is_alive()
    done = jobs.until_over()
    thread.join(DEADLINE)
    assert (done.state, done.exit_code) == (JobState.TIMED_OUT, 143)
    assert done.reason == "still running after 1h: stopped"
    assert done.took is not None
    assert done.took >= timedelta(hours=1)


@pytest.mark.parametrize("code", [0, 143])
def test_a_run_whose_process_is_killed_during_its_stop_has_timed_out(jobs: JobHome, code: int) -> None:
    """The process that stops it is killed before it records the end. The next one knows the reason."""
    jobs.program = Program(on_sigterm=code)
    execution, _ = jobs.start()
    stop = jobs.engine.containers.stop

    def stop_and_be_killed(container: str, grace: timedelta) -> None:
        stop(container, grace)
        execution.detach()

    jobs.engine.containers.stop = stop_and_be_killed  # type: ignore[method-assign]
    jobs.clock.advance(timedelta(minutes=59, seconds=59))
    jobs.pass_time(lambda: not is_held(jobs.home.lock(execution.run.container)), "the process is gone")
    assert jobs.run().state is JobState.RUNNING
    record_ended(jobs.context())
    done = jobs.run()
    assert (done.state, done.exit_code) == (JobState.TIMED_OUT, code)
    assert done.reason == "still running after 1h: stopped"


def test_a_cancel_after_the_timeout_counts(jobs: JobHome) -> None:
    """A user who cancels a run during its stop gets a cancelled run."""
    execution, _ = kill(jobs)
    jobs.store.job_runs.set_timed_out(NAME, 1, timedelta(hours=1))
    stop_run(jobs.context(), jobs.engine, execution.run)
    assert jobs.run().state is JobState.CANCELLED


def test_the_wall_clock_does_not_end_a_run(jobs: JobHome) -> None:
    """Its timeout is measured by the clock of the machine's boot."""
    _, thread = jobs.start()
    jobs.clock.jump(timedelta(days=1))
    jobs.clock.advance(timedelta(seconds=5))
    assert thread.is_alive()
    jobs.engine.containers.exit(jobs.run().container)
    assert jobs.until_over().state is JobState.SUCCEEDED


def test_ctrl_c_stops_a_run(jobs: JobHome) -> None:
    """It is cancelled, whatever its exit code."""
    cancelled = threading.Event()
    _, thread = jobs.start(cancelled)
    cancelled.set()
    done = jobs.until_over()
    thread.join(DEADLINE)
    assert (done.state, done.exit_code, done.reason) == (JobState.CANCELLED, 143, "cancelled")
    assert jobs.heard()[-1][0] == "job.cancelled"


def test_another_process_cancels_a_run(jobs: JobHome) -> None:
    """The process that follows it records the end."""
    _, thread = jobs.start()
    stopped: list[JobRun] = []
    canceller = threading.Thread(
        target=lambda: stopped.append(stop_run(jobs.context(), jobs.engine, jobs.run())), daemon=True
    )
    canceller.start()
    jobs.pass_time(lambda: stopped, "the run is stopped")
    thread.join(DEADLINE)
    assert stopped[0].state is JobState.CANCELLED


def test_the_user_who_cancels_is_in_the_event(jobs: JobHome) -> None:
    """Also if the process of another user records the end. The first one who cancels counts."""
    execution, _ = kill(jobs)
    jobs.store.job_runs.request_cancel(NAME, 1, "anna")
    stop_run(jobs.context(by="bob"), jobs.engine, execution.run)
    event = jobs.store.events.latest(NAME)[-1]
    assert (event.kind, event.fields["by"]) == ("job.cancelled", "anna")
    assert event.message.endswith("s (by anna)")


def test_a_run_is_cancelled_before_its_container_starts(jobs: JobHome) -> None:
    """The container is stopped as soon as it runs."""
    hang = jobs.engine.faults.hang("containers.start")
    execution = jobs.begin()
    thread = threading.Thread(target=execution.execute, daemon=True)
    thread.start()
    hang.wait_until_called()
    jobs.store.job_runs.request_cancel(NAME, 1)
    hang.release()
    assert jobs.until_over().state is JobState.CANCELLED
    thread.join(DEADLINE)


def kill(jobs: JobHome) -> tuple[JobExecution, threading.Thread]:
    """Start a run and let its process end as a kill would: nothing is recorded, and the lock is free."""
    execution, thread = jobs.start()
    execution.detach()
    jobs.pass_time(lambda: not thread.is_alive(), "the process is gone")
    assert not is_held(jobs.home.lock(execution.run.container))
    assert jobs.run().state is JobState.RUNNING
    return execution, thread


def adopt(jobs: JobHome) -> JobExecution:
    """Return the execution of run 1 in another process."""
    found = JobExecution.adopt(jobs.context(), jobs.run())
    assert found is not None
    return found


def test_a_run_that_runs_on_after_a_kill_is_adopted(jobs: JobHome) -> None:
    """Its real end is recorded, with each line of its output once."""
    execution, _ = jobs.start()
    container = execution.run.container
    jobs.engine.containers.print(container, "one", "two")
    until(lambda: jobs.home.job_log(NAME, container).exists() and len(lines_of(jobs, execution.run)) == 2, "two lines")
    execution.detach()
    jobs.pass_time(lambda: not is_held(jobs.home.lock(container)), "the lock is free")
    jobs.engine.containers.print(container, "three")
    adopted = adopt(jobs)
    thread = threading.Thread(target=adopted.execute, daemon=True)
    thread.start()
    jobs.engine.containers.print(container, "four")
    until(lambda: len(lines_of(jobs, execution.run)) == 4, "four lines")
    jobs.engine.containers.exit(container, 5)
    done = jobs.until_over()
    thread.join(DEADLINE)
    assert (done.state, done.exit_code) == (JobState.FAILED, 5)
    assert lines_of(jobs, done) == ["one", "two", "three", "four"]


def test_a_run_that_ended_while_no_process_followed_it(jobs: JobHome) -> None:
    """It has its exit code, its output, and the time of its end."""
    execution, _ = kill(jobs)
    jobs.clock.advance(timedelta(minutes=5))
    before = jobs.clock.now().wall
    jobs.engine.containers.print(execution.run.container, "last words")
    jobs.engine.containers.exit(execution.run.container, 0)
    jobs.clock.advance(timedelta(hours=2))
    record_ended(jobs.context())
    done = jobs.run()
    assert (done.state, done.exit_code, done.ended_at) == (JobState.SUCCEEDED, 0, before)
    assert done.took is not None
    assert timedelta(minutes=5) <= done.took < timedelta(minutes=6)
    assert lines_of(jobs, done) == ["last words"]
    assert not jobs.containers()


def test_a_container_that_is_gone_is_lost(jobs: JobHome) -> None:
    """And so is a run whose process was killed before the container started."""
    execution, _ = kill(jobs)
    jobs.engine.containers.forget(execution.run.container)
    done = adopt(jobs).execute()
    assert (done.state, done.exit_code) == (JobState.LOST, None)
    assert jobs.heard()[-1] == (
        "job.failed",
        "nightly: run 1 is lost: its container was removed, or has never started",
    )
    begun = jobs.begin()
    begun.detach()
    begun.execute()
    adopted = JobExecution.adopt(jobs.context(), begun.run)
    assert adopted is not None
    assert adopted.execute().state is JobState.LOST


def test_a_container_that_is_removed_while_it_runs(jobs: JobHome) -> None:
    """Within a second, also if its output has no end."""
    execution, thread = jobs.start()
    jobs.engine.containers.forget(execution.run.container)
    assert jobs.until_over().state is JobState.LOST
    thread.join(DEADLINE)


def test_a_run_that_a_process_follows_is_not_adopted(jobs: JobHome) -> None:
    """Nor one that is over."""
    execution, thread = jobs.start()
    assert JobExecution.adopt(jobs.context(), execution.run) is None
    jobs.engine.containers.exit(execution.run.container)
    thread.join(DEADLINE)
    assert JobExecution.adopt(jobs.context(), execution.run) is None


def test_a_command_leaves_a_run_alone_that_runs_on(jobs: JobHome) -> None:
    """Only the daemon follows it to its end."""
    execution, _ = kill(jobs)
    record_ended(jobs.context())
    assert jobs.run().state is JobState.RUNNING
    assert jobs.containers() == [execution.run.container]


def test_all_runs_are_stopped_with_the_pipeline(jobs: JobHome) -> None:
    """One that no process follows, too. Its schedule is forgotten."""
    kill(jobs)
    jobs.store.job_runs.set_schedule(NAME, "nightly", jobs.job().handled(START))
    stopped = stop_all(jobs.context(), jobs.engine)
    assert [(run.number, run.state) for run in stopped] == [(1, JobState.CANCELLED)]
    assert jobs.store.job_runs.schedule(NAME, "nightly") is None
    assert not jobs.containers()


def test_a_container_of_a_run_that_is_over_is_removed(jobs: JobHome) -> None:
    """Its process was killed after it had recorded the end."""
    execution, _ = kill(jobs)
    jobs.store.job_runs.finish(execution.run, JobState.SUCCEEDED, START, timedelta(0), exit_code=0)
    remove_leftovers(jobs.context(), jobs.engine)
    assert not jobs.containers()


def test_the_engine_is_away_when_a_run_begins(jobs: JobHome) -> None:
    """The run fails, and is not begun a second time."""
    jobs.engine.faults.fail("containers.start", EngineFault("Docker does not respond"))
    done = jobs.begin().execute()
    assert (done.state, done.reason) == (JobState.FAILED, "cannot start: Docker does not respond")


def test_the_answer_to_a_start_is_lost(jobs: JobHome) -> None:
    """The container that started all the same is followed."""
    jobs.program = Program(exit_code=0)
    jobs.engine.faults.lose_answer("containers.start")
    assert jobs.begin().execute().state is JobState.SUCCEEDED


def test_the_engine_is_restarted_while_a_job_runs(jobs: JobHome) -> None:
    """Its process ends with the engine, which the run then shows."""
    _, thread = jobs.start()
    jobs.engine.kill_daemon()
    jobs.clock.advance(timedelta(seconds=5))
    assert thread.is_alive()
    jobs.engine.start_daemon()
    done = jobs.until_over()
    thread.join(DEADLINE)
    assert (done.state, done.exit_code) == (JobState.FAILED, 137)


def test_an_address_that_is_taken_meanwhile(jobs: JobHome) -> None:
    """Another one is chosen."""
    jobs.program = Program(exit_code=0)
    jobs.engine.faults.fail("containers.start", StageFailed("x cannot be started: Address already in use"), times=2)
    assert jobs.begin().execute().state is JobState.SUCCEEDED


def test_the_log_has_a_limit(jobs: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line says so, also if the run is adopted then."""
    monkeypatch.setattr(output, "MAX_BYTES", 2**20)
    execution, _ = jobs.start()
    container = execution.run.container
    jobs.engine.containers.print(container, *["x" * 1000] * 1200)
    last = "the log has reached 1 MiB, later lines are dropped"
    until(lambda: jobs.home.job_log(NAME, container).exists() and last in jobs.log(execution.run), "the log is full")
    execution.detach()
    jobs.pass_time(lambda: not is_held(jobs.home.lock(container)), "the lock is free")
    size = len(jobs.log(execution.run))
    jobs.engine.containers.print(container, "later")
    jobs.engine.containers.exit(container)
    record_ended(jobs.context())
    assert len(jobs.log(execution.run)) == size <= 2**20
    assert lines_of(jobs, jobs.run())[-1] == last


def test_old_runs_are_deleted_with_their_logs(jobs: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest of each job stay, and so does a run of another job."""
    monkeypatch.setattr("pipeline.jobs.outcome.MAX_RUNS", 3)
    jobs.program = Program(lines=("x",), exit_code=0)
    for _ in range(5):
        jobs.begin().execute()
    runs = jobs.store.job_runs.all(NAME)
    assert [run.number for run in runs] == [5, 4, 3]
    logs = {path.stem for path in jobs.home.job_log(NAME, "x").parent.glob("*.jsonl")}
    assert logs == {run.container for run in runs}


@pytest.mark.parametrize(
    ("services", "name", "message", "hint"),
    [
        (None, "nightli", "release 1 of shop has no job nightli", "did you mean nightly?"),
        (
            "{worker: {}}",
            "worker",
            "release 2 of shop has no jobs",
            "a job is a service of deploy.services with a schedule",
        ),
        (
            '{worker: {}, nightly: {schedule: "0 3 * * *"}}',
            "worker",
            "worker is not a job: it has no schedule",
            "the jobs are nightly",
        ),
    ],
)
def test_unknown_jobs(jobs: JobHome, services: str | None, name: str, message: str, hint: str) -> None:
    """The error names what there is."""
    if services:
        jobs.deploy(services)
    with pytest.raises(ConfigError) as caught:
        find_job(jobs.store, NAME, name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_pipeline_that_is_not_deployed_has_no_job(jobs: JobHome) -> None:
    """The error says how to deploy it."""
    with pytest.raises(ConfigError, match="other has no active release") as caught:
        find_job(jobs.store, "other", "nightly")
    assert caught.value.hint == "`pipeline run` deploys one"


def test_the_image_of_a_run_is_kept(jobs: JobHome) -> None:
    """Until the run is over, also if its release is too old to be kept."""
    images = [
        jobs.engine.images.add_built(bytes([number]), f"penstock/{number}", {LABEL_PIPELINE: NAME, LABEL_RUN: "77"})
        for number in range(3)
    ]
    jobs.deploy(image=images[0])
    _, thread = jobs.start()
    for image in images[1:]:
        jobs.deploy(image=image)
    prune(jobs.context(), jobs.engine, keep=1)
    assert [jobs.engine.images.has(image) for image in images] == [True, False, True]
    jobs.engine.containers.exit(jobs.run().container)
    jobs.until_over()
    thread.join(DEADLINE)
    prune(jobs.context(), jobs.engine, keep=1)
    assert [jobs.engine.images.has(image) for image in images] == [False, False, True]
