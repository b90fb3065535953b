"""Scheduled jobs on a real engine: by command and by the clock, killed at any time, and taken down."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.labels import ROLE_JOB
from pipeline.store.job_run import JobRun, JobState
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.docker.serving import Serving
from tests.support.waiting import COMMAND_TIMEOUT
from tests.support.wall_clock import WallClock

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

# Prints a secret, then waits until the test writes the exit code that it wants.
_WORK = (
    "import os, pathlib, sys, time; print('begun', os.environ['KEY'], flush=True); f = pathlib.Path('/signal/code'); "
    "[time.sleep(0.02) for _ in iter(f.exists, True)]; print('ended', flush=True); sys.exit(int(f.read_text()))"
)
_JOB = (
    '{{command: [python3, -c, "{work}"], init: true, schedule: "{schedule}", timezone: UTC, stop_grace: 5s, '
    "environment: {{KEY: '${{secret:KEY}}'}}, volumes: [\"{folder}:/signal:ro\"]}}"
)
SECRET = "seven-secret-words"
NEVER, EACH_MINUTE = "0 0 29 2 *", "* * * * *"


class Jobs:
    """A project whose only service is the job `nightly`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.directory.parent / "signal"
        self.folder.mkdir()

    def deploy(self, schedule: str = NEVER) -> None:
        """Make a release with the job the active one."""
        job = _JOB.format(work=_WORK, schedule=schedule, folder=self.folder)
        (self.project.directory / "pipeline.yaml").write_text(
            f'name: {self.project.name}\nbuild: {{args: {{BASE_IMAGE: "{self.project.base_image}"}}}}\n'
            f"deploy:\n  services: {{nightly: {job}}}\n"
        )
        self.project.pipeline("run", KEY=SECRET)

    def exit(self, code: int) -> None:
        """Let the job exit, or each later run of it at once."""
        draft = self.folder / "draft"
        draft.write_text(str(code))
        draft.rename(self.folder / "code")

    def hold(self) -> None:
        """Let later runs wait again."""
        (self.folder / "code").unlink()

    def runs(self) -> list[JobRun]:
        """Return all runs, oldest first."""
        with self.project.store() as store:
            return store.job_runs.all(self.project.name)[::-1]

    def until_running(self) -> str:
        """Wait until the job has begun to work, and return the name of its container."""

        def found() -> str | None:
            names = [each.name for each in self.project.containers(ROLE_JOB) if each.state == "running"]
            return next((name for name in names if "begun" in docker("logs", name)), None)

        return str(until(found, "the job works"))

    def until_over(self, number: int) -> JobRun:
        """Wait until a run is over and its container is removed."""

        def found() -> JobRun | None:
            run = next((run for run in self.runs() if run.number == number), None)
            return run if run and run.state.over and not self.project.containers(ROLE_JOB) else None

        run = until(found, f"run {number} is over")
        assert isinstance(run, JobRun)
        return run

    def start(self) -> subprocess.Popen[str]:
        """Start `pipeline job run nightly`, and return when the job works."""
        process = self.project.start("job", "run", "nightly", KEY=SECRET)
        self.until_running()
        return process

    def json(self, *arguments: str) -> Any:
        """Return what a command prints as JSON."""
        return json.loads(self.project.pipeline("job", *arguments, "--json").out)


@pytest.fixture
def jobs(project: Project) -> Jobs:
    """A project with a job, of which nothing is deployed."""
    return Jobs(project)


def test_a_job_is_run_by_command(jobs: Jobs) -> None:
    """Its output is printed and kept, without secrets. A deployment starts no container of it."""
    project = jobs.project
    jobs.deploy()
    assert project.containers() == []
    jobs.exit(0)
    done = project.pipeline("job", "run", "nightly", KEY=SECRET)
    assert done.out.splitlines() == ["begun ***", "ended"]
    assert [line.split("  ", 1)[1] for line in project.pipeline("job", "logs", "nightly").out.splitlines()] == [
        "begun ***",
        "ended",
    ]
    jobs.exit(3)
    failed = project.pipeline("job", "run", "nightly", code=1, KEY=SECRET)
    assert failed.err.splitlines()[-1] == "error: run 2 of nightly failed: exit code 3"
    assert [(run["state"], run["exit_code"]) for run in jobs.json("history")] == [("failed", 3), ("succeeded", 0)]
    assert [(job["name"], job["last_run"]["state"]) for job in jobs.json("list")] == [("nightly", "failed")]
    assert "job nightly: run 2 failed (exit code 3), " in project.pipeline("status").out
    assert project.containers(ROLE_JOB) == []


def test_a_run_outlives_a_deployment_and_is_cancelled(jobs: Jobs) -> None:
    """It ends with its release. Another one cannot begin beside it, and `down` stops it."""
    project = jobs.project
    jobs.deploy()
    running = jobs.start()
    refused = project.pipeline("job", "run", "nightly", code=2, KEY=SECRET)
    assert "error: nightly runs already: run 1, since " in refused.err
    project.commit("2")
    project.pipeline("run", KEY=SECRET)
    assert [run.state for run in jobs.runs()] == [JobState.RUNNING]
    jobs.exit(0)
    assert project.finish(running).out.splitlines() == ["begun ***", "ended"]
    jobs.hold()
    running = jobs.start()
    assert project.pipeline("job", "cancel", "nightly", KEY=SECRET).out == "run 2 of nightly: cancelled\n"
    project.finish(running, code=130)
    running = jobs.start()
    project.pipeline("down", KEY=SECRET)
    project.finish(running, code=130)
    assert [(run.release, run.state) for run in jobs.runs()] == [
        (1, JobState.SUCCEEDED),
        (2, JobState.CANCELLED),
        (2, JobState.CANCELLED),
    ]
    project.assert_gone()
    assert project.containers(ROLE_JOB) == []


def test_the_process_of_a_run_is_killed(jobs: Jobs) -> None:
    """A later command records what has ended meanwhile, and cancels what still runs."""
    project = jobs.project
    jobs.deploy()
    running = jobs.start()
    running.kill()
    running.communicate(timeout=COMMAND_TIMEOUT)
    assert project.pipeline("job", "cancel", "nightly", KEY=SECRET).out == "run 1 of nightly: cancelled\n"
    running = jobs.start()
    running.kill()
    running.communicate(timeout=COMMAND_TIMEOUT)
    jobs.exit(5)
    until(lambda: project.containers(ROLE_JOB)[0].state == "exited", "the job has ended")
    jobs.exit(0)
    project.pipeline("job", "run", "nightly", KEY=SECRET)
    assert [(run.state, run.exit_code) for run in jobs.runs()][1:] == [(JobState.FAILED, 5), (JobState.SUCCEEDED, 0)]
    assert [line.split("  ", 1)[1] for line in project.pipeline("job", "logs", "2").out.splitlines()] == [
        "begun ***",
        "ended",
    ]


@pytest.fixture
def served(jobs: Jobs, tmp_path: Path) -> Iterator[Serving]:
    """The daemon of the project, whose job is due in some seconds."""
    clock = WallClock(tmp_path)
    jobs.deploy(EACH_MINUTE)
    served = Serving(jobs.project, KEY=SECRET, **clock.environment)
    clock.step(60 - int(time.time()) % 60 - 6)
    served.start()
    yield served
    served.stop()


def test_the_daemon_is_killed_while_a_job_runs(jobs: Jobs, served: Serving) -> None:
    """The next one adopts it and records its real end, with each line once. One that is stopped leaves it running."""
    container = jobs.until_running()
    assert served.stop() == 0
    served.start()
    served.kill()
    served.start()
    jobs.exit(4)
    done = jobs.until_over(1)
    assert (done.state, done.exit_code, done.container) == (JobState.FAILED, 4, container)
    assert done.scheduled_for is not None
    served.await_event("job.failed")
    assert len(served.events("job.started")) == len({run.scheduled_for for run in jobs.runs()})
    lines = jobs.project.pipeline("job", "logs", "1").out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == ["begun ***", "ended"]
    assert served.stop() == 0
    assert "Traceback" not in served.output()
