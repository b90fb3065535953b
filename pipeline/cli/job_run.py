"""`pipeline job run`: run a job now."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import Cancelled, StageFailed
from pipeline.base.printable import escape_controls
from pipeline.cli.session import handle_interrupts, pipeline_options, session
from pipeline.store.job_run import JobRun, JobState
from pipeline.store.run_log import follow

if TYPE_CHECKING:
    from pipeline.jobs.execution import JobExecution


@click.command("run")
@click.argument("name")
@pipeline_options
def command(name: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Run the job NAME of the active release now, and print its output. Works without the daemon.

    Exits with 1 if the job fails. Ctrl-C cancels it. If this process is killed, the job runs on, and `pipeline serve`
    records its end. A time of its schedule that comes meanwhile is skipped.
    """
    from pipeline.jobs.by_command import begin_now
    from pipeline.jobs.job import find_job
    from pipeline.jobs.stop import record_ended
    from pipeline.runner.context import PipelineContext
    from pipeline.runner.ownership import check_owner

    with session(file, parameters, secrets_needed=True) as opened, handle_interrupts() as cancelled:
        check_owner(opened.store, opened.configuration)
        pipeline_context = PipelineContext(opened.home, opened.configuration, opened.store, by=opened.user)
        context = pipeline_context.stage_context(cancelled=cancelled)
        with pipeline_context.masking_errors():
            find_job(opened.store, opened.name, name)
            record_ended(context)
            execution = begin_now(context, name)
            click.echo(f"run {execution.run.number} of {name}, release {execution.run.release}", err=True)
            done = _execute(execution, opened.home.job_log(opened.name, execution.run.container))
            _raise_failure(done)
            seconds = done.duration.total_seconds()
            click.echo(f"run {done.number} of {name} succeeded in {seconds:.1f} s", err=True)


def _execute(execution: JobExecution, log: Path) -> JobRun:
    """Execute a run in a thread, and print its log meanwhile."""
    ended, results = threading.Event(), list[JobRun | BaseException]()

    def execute() -> None:
        try:
            results.append(execution.execute())
        except BaseException as error:  # noqa: BLE001  # raised below
            results.append(error)
        finally:
            ended.set()

    threading.Thread(target=execute, name="job run", daemon=True).start()
    is_terminal = sys.stdout.isatty()
    for line in follow(log, ended.is_set):
        click.echo(escape_controls(line.text) if is_terminal else line.text)
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result


def _raise_failure(run: JobRun) -> None:
    if run.state is JobState.CANCELLED:
        raise Cancelled(f"run {run.number} of {run.job} was cancelled")
    if run.state is not JobState.SUCCEEDED:
        verb = "is lost" if run.state is JobState.LOST else "failed"
        raise StageFailed(f"run {run.number} of {run.job} {verb}: {run.reason}")
