"""`pipeline job logs`: the output of a job's run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.lock import is_held
from pipeline.base.whole_number import LARGEST
from pipeline.cli.session import FILE, Session, json_option, parameter_option, session
from pipeline.store.job_run import JobRun
from pipeline.store.run_log import follow, read_log


@click.command("logs")
@click.argument("run", metavar="NAME|RUN")
# As for `pipeline logs`, -f follows.
@click.option("--file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="File of the pipeline.")
@parameter_option
@click.option("-f", "-F", "--follow", "following", is_flag=True, help="Continue until the run has ended.")
@json_option
def command(run: str, file: Path, parameters: tuple[str, ...], following: bool, as_json: bool) -> None:
    """Print the output of the latest run of the job NAME, or of RUN, a number of `pipeline job history`.

    The home keeps up to 8 MiB of each run, and the latest 100 runs of each job. Secrets are masked.
    """
    with session(file, parameters) as opened:
        found = _run(opened, run)
        path = opened.home.job_log(opened.name, found.container)
        lines = follow(path, lambda: _has_ended(opened, found)) if following else read_log(path)
        printed = False
        for line in lines:
            printed = True
            click.echo(json.dumps(vars(line)) if as_json else f"{line.at[11:23]}  {line.text}")
        if not printed:
            now = opened.store.job_runs.get(opened.name, found.number) or found
            reason = f": {now.reason}" if now.reason else ""
            click.echo(
                f"run {now.number} of {now.job} printed nothing ({now.state.replace('_', ' ')}{reason})", err=True
            )


def _run(opened: Session, wanted: str) -> JobRun:
    """Return a run by its number, or the latest one of a job. Raises `ConfigError`."""
    latest = opened.store.job_runs.latest(opened.name, wanted, 1)
    if latest:
        return latest[0]
    if wanted.isascii() and wanted.isdecimal():
        number = int(wanted)
        found = opened.store.job_runs.get(opened.name, number) if number <= LARGEST else None
        if found is None:
            raise ConfigError(
                f"no job of {opened.name} has a run {wanted}", hint="`pipeline job history` lists the runs"
            )
        return found
    from pipeline.jobs.by_command import check_job

    check_job(opened.store, opened.name, wanted)
    raise ConfigError(f"{wanted} has not run yet", hint=f"`pipeline job run {wanted}` runs it now")


def _has_ended(opened: Session, run: JobRun) -> bool:
    """Return True if no more output will come, since the run has ended or its process has exited."""
    now = opened.store.job_runs.get(opened.name, run.number)
    return now is None or now.state.over or not is_held(opened.home.lock(run.container))
