"""Scheduled jobs in a release: a deployment starts none, a rollback brings them back, and `down` stops them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, RolledBack
from pipeline.config.load import load
from pipeline.engine.labels import ROLE_JOB
from pipeline.jobs.execution import JobExecution
from pipeline.jobs.job import jobs_of
from pipeline.runner.context import PipelineContext
from pipeline.store import deployments
from pipeline.store.job_run import JobState
from stages.deploy.stage import DockerDeploy
from tests.support.waiting import DEADLINE, until
from tests.unit.core.machine import Machine
from tests.unit.core.service_files import WEB, WORKER, write
from tests.unit.core.world import NAME, World

NIGHTLY = 'nightly: {command: [clean], schedule: "0 3 * * *", timezone: Europe/Berlin}'
LATER = NIGHTLY.replace("0 3", "0 4")
TIMES = "at 03:00 every day (Europe/Berlin)"


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with a web and a job, of which nothing runs."""
    with Machine(world, monkeypatch) as machine:
        write(world, WEB, NIGHTLY)
        yield machine


def context(world: World) -> StageContext:
    """Return the context of a process that runs jobs."""
    return PipelineContext(world.home, load(world.file), world.store, clock=world.clock).stage_context(run=9)


def roll_back(world: World) -> None:
    """Roll back to release 1, whose image the engine has."""
    release = world.store.releases.get(NAME, 1)
    assert release is not None
    world.engine.images.add(release.image_id)
    world.runner().rollback()


def start(world: World) -> tuple[JobExecution, threading.Thread]:
    """Run the job of the active release in a thread, and return when its container runs."""
    active = world.store.releases.active(NAME)
    assert active is not None
    world.engine.images.add(active.image_id)
    execution = JobExecution.begin(context(world), jobs_of(active)["nightly"])
    assert execution is not None
    thread = threading.Thread(target=execution.execute, daemon=True)
    thread.start()
    until(lambda: execution.run.container in world.engine.containers.running(), "the job runs")
    return execution, thread


def test_a_deployment_starts_no_container_of_a_job(world: World, machine: Machine) -> None:
    """It says when the job runs. The repair of drift finds nothing to do for it."""
    world.runner().run("a")
    assert machine.counts() == {("web", 1): 2}
    heard = machine.heard()
    parts = f"web: 2 wanted, at most 3 running; nightly: runs {TIMES}"
    assert f"to release 1, one service after the other: {parts}" in heard
    assert any(text.endswith(f"; nightly: runs {TIMES}") for text in heard)
    drift = DockerDeploy().drift(context(world))
    assert drift.findings() == []
    drift.close()
    assert DockerDeploy().is_current(context(world))


def test_the_plan_of_a_job(world: World, machine: Machine) -> None:
    """A release that changes only a job replaces nothing, and is one all the same."""
    assert f"nightly: runs {TIMES}" in world.runner().plan("a")["deploy"]
    world.runner().run("a")
    write(world, WEB, LATER)
    assert "nightly: runs at 04:00 every day (Europe/Berlin)" in world.runner().plan("a")["deploy"]
    names = machine.names()
    world.runner().run("a")
    assert machine.names() == names
    active = world.store.releases.active(NAME)
    assert active is not None
    assert (active.number, jobs_of(active)["nightly"].spec.settings.schedule) == (2, "0 4 * * *")


def test_a_pipeline_of_only_jobs(world: World, machine: Machine) -> None:
    """It is deployed, rolled back and removed without a container."""
    write(world, NIGHTLY, balancer="")
    world.runner().run("a")
    write(world, LATER, balancer="")
    world.runner().run("b")
    roll_back(world)
    active = world.store.releases.active(NAME)
    assert active is not None
    assert jobs_of(active)["nightly"].release == 1
    world.runner().down()
    assert not machine.runtime.list(NAME)


def test_a_release_that_fails_brings_the_former_job_back(world: World, machine: Machine) -> None:
    """Services and jobs are one release."""
    world.runner().run("a")
    write(world, WEB, LATER, WORKER)
    machine.fail("worker", 2)
    with pytest.raises(RolledBack):
        world.runner().run("b")
    active = world.store.releases.active(NAME)
    assert active is not None
    assert jobs_of(active)["nightly"].spec.settings.schedule == "0 3 * * *"


def test_a_worker_becomes_a_job_and_back(world: World, machine: Machine) -> None:
    """Its replicas are removed. A rollback brings their number back."""
    write(world, WEB, "nightly: {command: [work], replicas: 3}")
    world.runner().run("a")
    write(world, WEB, NIGHTLY)
    world.runner().run("b")
    assert machine.counts() == {("web", 2): 2}
    roll_back(world)
    assert machine.counts() == {("web", 1): 2, ("nightly", 1): 3}


def test_a_job_is_neither_scaled_nor_restarted(world: World, machine: Machine) -> None:
    """A restart of all services leaves it out."""
    world.runner().run("a")
    for change in (lambda: world.runner().scale("nightly=2"), lambda: world.runner().restart("nightly")):
        with pytest.raises(ConfigError) as caught:
            change()
        assert caught.value.message == "nightly is a job, which has no replicas"
        assert caught.value.hint == "`pipeline job run nightly` runs it now"
    names = machine.names()
    world.runner().restart()
    assert machine.counts() == {("web", 1): 2}
    assert machine.names() != names


def test_a_run_ends_with_its_release(world: World, machine: Machine) -> None:
    """A deployment does not stop it."""
    world.runner().run("a")
    execution, thread = start(world)
    world.runner().run("b")
    assert execution.run.container in world.engine.containers.running()
    world.engine.containers.exit(execution.run.container)
    world.until(lambda: not thread.is_alive(), "the run is over")
    done = world.store.job_runs.get(NAME, 1)
    assert done is not None
    assert (done.release, done.state) == (1, JobState.SUCCEEDED)


def test_down_stops_a_run(world: World, machine: Machine) -> None:
    """Nothing of it is left. The process that follows it records the end."""
    world.runner().run("a")
    _, thread = start(world)
    down = threading.Thread(target=world.runner().down, daemon=True)
    down.start()
    world.until(lambda: not down.is_alive(), "all is removed")
    thread.join(DEADLINE)
    done = world.store.job_runs.get(NAME, 1)
    assert done is not None
    assert done.state is JobState.CANCELLED
    assert world.engine.containers.for_pipeline(NAME, ROLE_JOB) == []
    assert not machine.runtime.list(NAME)


def test_down_stops_a_run_whose_process_was_killed(world: World, machine: Machine) -> None:
    """It records its end itself."""
    world.runner().run("a")
    execution, thread = start(world)
    execution.detach()
    world.until(lambda: not thread.is_alive(), "the process is gone")
    world.runner().down()
    done = world.store.job_runs.get(NAME, 1)
    assert done is not None
    assert done.state is JobState.CANCELLED
    assert world.engine.containers.for_pipeline(NAME, ROLE_JOB) == []


def test_the_daemon_runs_jobs(world: World, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that serves the pipeline, from the release that it has deployed."""
    monkeypatch.setattr(deployments, "now", lambda: world.clock.now().wall.isoformat())
    write(world, 'hourly: {command: [work], schedule: "0 * * * *", timezone: UTC}', balancer="")
    world.runner().run("a")
    active = world.store.releases.active(NAME)
    assert active is not None
    world.engine.images.add(active.image_id)
    daemon = world.serve()
    world.until(lambda: world.store.job_runs.schedule(NAME, "hourly"), "a look at the schedule")
    world.clock.advance(timedelta(hours=1))
    world.until(lambda: world.store.job_runs.running(NAME), "a run of the job")
    (run,) = world.store.job_runs.running(NAME)
    assert run.scheduled_for is not None
    assert (run.scheduled_for.hour, run.scheduled_for.minute) == (13, 0)
    until(lambda: run.container in world.engine.containers.running(), "its container")
    daemon.stop()
    assert run.container in world.engine.containers.running()
    world.serve()
    world.engine.containers.exit(run.container, 0)
    world.until(lambda: not world.store.job_runs.running(NAME), "the next daemon records its end")
    done = world.store.job_runs.get(NAME, run.number)
    assert done is not None
    assert done.state is JobState.SUCCEEDED
