"""`pipeline job`: each command, and what other commands say about jobs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import Cancelled, ConfigError, PenstockError, StageFailed
from pipeline.cli import app as app_module
from pipeline.cli import exec as exec_command
from pipeline.cli import job, pipelines, run_once, scale, status
from pipeline.engine.console import Console
from pipeline.engine.container import Container
from pipeline.http.job_report import job_responses
from pipeline.jobs.stop import stop_run
from pipeline.store.job_run import JobState
from pipeline.testing.fakes.program import Program
from tests.support.job_home import NAME, SECRET, JobHome
from tests.support.waiting import until


class NoConsole:
    """The console of a machine on which nothing runs."""

    def containers(self, pipeline: str) -> list[Container]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Do nothing: there is no connection."""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHome]:
    """A home with the job `nightly`, and its file in the current directory."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    home = JobHome(tmp_path, monkeypatch)
    home.deploy()
    console: Console = NoConsole()  # type: ignore[assignment]
    monkeypatch.setattr(app_module, "local_console", lambda _: console)
    yield home
    home.close()


def invoke(command: click.Command, *arguments: str) -> Result:
    """Run a command. Its error is raised."""
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def data(*arguments: str) -> Any:
    """Return what a command prints as JSON."""
    return json.loads(invoke(job.command, *arguments, "--json").stdout)


def rows(result: Result) -> list[list[str]]:
    """Return the cells of a table."""
    return [line.split() for line in result.stdout.splitlines()]


def test_jobs_are_listed_before_their_first_run(jobs: JobHome) -> None:
    """With the next time in the time zone of the job."""
    found = data("list")
    assert [(each["name"], each["schedule"], each["timezone"]) for each in found] == [("nightly", "0 3 * * *", "UTC")]
    following = datetime.fromisoformat(found[0]["next"])
    assert (following.hour, following.minute) == (3, 0)
    assert timedelta(0) < following - datetime.now(UTC) <= timedelta(days=1)
    assert found[0]["last_run"] is None
    shown = rows(invoke(job.command, "list"))
    assert shown[0] == ["JOB", "SCHEDULE", "TIMEZONE", "NEXT", "RUN", "STATE", "STARTED"]
    assert shown[1][:7] == ["nightly", "0", "3", "*", "*", "*", "UTC"]
    assert shown[1][-3:] == ["-", "-", "-"]


def test_a_pipeline_without_jobs(jobs: JobHome) -> None:
    """It says so."""
    jobs.deploy("{worker: {}}")
    assert invoke(job.command, "list").stdout == "release 2 of shop has no jobs\n"
    assert data("list") == []


def test_a_run_prints_its_output(jobs: JobHome) -> None:
    """Without secrets. The last run is then listed, also by `status` and `list`."""
    jobs.program = Program(lines=("one", f"key {SECRET}"), exit_code=0)
    done = invoke(job.command, "run", "nightly")
    assert done.stdout == "one\nkey ***\n"
    assert done.stderr.startswith("run 1 of nightly, release 1\nrun 1 of nightly succeeded in ")
    assert data("list")[0]["last_run"]["state"] == "succeeded"
    text = invoke(status.command).stdout
    assert "\njob nightly: run 1 succeeded, " in text
    assert text.rstrip().endswith(", which only `pipeline serve` runs")
    assert json.loads(invoke(status.command, "--json").stdout)["jobs"][0]["last_run"]["exit_code"] == 0
    jobs.store.pipelines.set_file(NAME, jobs.root / "pipeline.yaml")
    assert json.loads(invoke(pipelines.command, "--json").stdout)[0]["jobs"] == {"nightly": "succeeded"}
    assert "nightly succeeded" in invoke(pipelines.command).stdout


def test_a_run_that_fails(jobs: JobHome) -> None:
    """The exit code is 1."""
    jobs.program = Program(exit_code=3)
    with pytest.raises(StageFailed) as caught:
        invoke(job.command, "run", "nightly")
    assert (caught.value.message, caught.value.exit_code) == ("run 1 of nightly failed: exit code 3", 1)
    assert rows(invoke(job.command, "history"))[1][:4] == ["1", "nightly", "failed", "1"]
    assert data("history")[0] | {"started_at": "", "ended_at": ""} == {
        "number": 1,
        "job": "nightly",
        "release": 1,
        "state": "failed",
        "scheduled_for": None,
        "started_at": "",
        "ended_at": "",
        "exit_code": 3,
        "reason": "exit code 3",
    }


def test_logs_of_a_run(jobs: JobHome) -> None:
    """By the job, which means its latest run, and by number."""
    for text in ("first", "second"):
        jobs.program = Program(lines=(text,), exit_code=0)
        jobs.begin().execute()
    assert invoke(job.command, "logs", "nightly").stdout.endswith("  second\n")
    assert invoke(job.command, "logs", "1").stdout.endswith("  first\n")
    assert json.loads(invoke(job.command, "logs", "1", "--json").stdout)["text"] == "first"
    jobs.program = Program(exit_code=3)
    jobs.begin().execute()
    silent = invoke(job.command, "logs", "nightly", "-f")
    assert (silent.stdout, silent.stderr) == ("", "run 3 of nightly printed nothing (failed: exit code 3)\n")


def test_logs_are_followed_to_the_end_of_the_run(jobs: JobHome) -> None:
    """And no longer."""
    execution, thread = jobs.start()

    def work() -> None:
        jobs.engine.containers.print(execution.run.container, "late")
        until(lambda: jobs.home.job_log(NAME, execution.run.container).exists(), "output")
        jobs.engine.containers.exit(execution.run.container)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert invoke(job.command, "logs", "nightly", "-f").stdout.endswith("  late\n")
    assert jobs.run().state is JobState.SUCCEEDED
    worker.join()
    thread.join()


def test_a_run_is_cancelled(jobs: JobHome) -> None:
    """The process that follows it records its end."""
    _, thread = jobs.start()
    assert invoke(job.command, "cancel", "nightly").stdout == "run 1 of nightly: cancelled\n"
    thread.join()
    assert jobs.run().state is JobState.CANCELLED


def test_a_run_of_a_command_is_cancelled(jobs: JobHome) -> None:
    """By another process. The command then ends as if by Ctrl-C."""

    def cancel() -> None:
        until(lambda: jobs.engine.containers.running(), "the job runs")
        stop_run(jobs.context(), jobs.engine, jobs.run())

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    with pytest.raises(Cancelled, match="run 1 of nightly was cancelled"):
        invoke(job.command, "run", "nightly")
    jobs.pass_time(lambda: not canceller.is_alive(), "the other process has seen it")


def test_a_job_that_runs_already(jobs: JobHome) -> None:
    """The error says how to follow and to stop it."""
    jobs.start()
    with pytest.raises(ConfigError) as caught:
        invoke(job.command, "run", "nightly")
    assert caught.value.message.startswith("nightly runs already: run 1, since 2030-01-01 ")
    assert caught.value.hint == ("`pipeline job logs nightly -f` follows it, `pipeline job cancel nightly` stops it")


MISTAKES: list[tuple[click.Command, tuple[str, ...], str, str | None]] = [
    (job.command, ("run", "nightl"), "release 1 of shop has no job nightl", "did you mean nightly?"),
    (
        job.command,
        ("cancel", "nightly"),
        "nightly does not run",
        "`pipeline job list` shows its last run and its next time",
    ),
    (job.command, ("cancel", "nightl"), "shop has no job nightl", "did you mean nightly?"),
    (job.command, ("history", "web"), "shop has no job web", "known: nightly"),
    (job.command, ("logs", "nightly"), "nightly has not run yet", "`pipeline job run nightly` runs it now"),
    (job.command, ("logs", "7"), "no job of shop has a run 7", "`pipeline job history` lists the runs"),
    (job.command, ("logs", "9" * 30), f"no job of shop has a run {'9' * 30}", "`pipeline job history` lists the runs"),
    (job.command, ("logs", "web"), "shop has no job web", "known: nightly"),
    (
        scale.command,
        ("3",),
        "shop has only jobs, which have no replicas",
        "`pipeline job run nightly` runs one now",
    ),
    (
        exec_command.command,
        ("nightly", "--", "ls"),
        "nightly is a job, of which no container runs all the time",
        "`pipeline job run nightly` runs it now; name another service for a command of your own",
    ),
    (
        run_once.command,
        ("nightly", "--", "ls"),
        "nightly is a job, of which no container runs all the time",
        "`pipeline job run nightly` runs it now; name another service for a command of your own",
    ),
]


@pytest.mark.parametrize(("command", "arguments", "message", "hint"), MISTAKES)
def test_mistakes(
    command: click.Command, arguments: tuple[str, ...], message: str, hint: str | None, jobs: JobHome
) -> None:
    """Each says what to do instead."""
    with pytest.raises(PenstockError) as caught:
        invoke(command, *arguments)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_missing_secret(jobs: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins."""
    monkeypatch.delenv("KEY")
    with pytest.raises(ConfigError, match="secret KEY is not in the environment"):
        invoke(job.command, "run", "nightly")
    assert jobs.store.job_runs.all(NAME) == []


def test_the_next_time_waits_for_what_is_handled(jobs: JobHome) -> None:
    """As the daemon does, if the clock was set back."""
    handled = datetime.now(UTC) + timedelta(days=3)
    jobs.store.job_runs.set_schedule(NAME, "nightly", jobs.job().handled(handled))
    (found,) = job_responses(jobs.store, NAME)
    assert found.next is not None
    assert handled < found.next <= handled + timedelta(days=1)
