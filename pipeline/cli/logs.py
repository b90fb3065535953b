"""`pipeline logs`: output of a run's stages, or of the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import ConfigError
from pipeline.base.lock import is_held
from pipeline.base.suggestion import did_you_mean
from pipeline.base.whole_number import LARGEST
from pipeline.cli.session import FILE, Session, json_option, parameter_option, session
from pipeline.runner.status import PipelineStatus
from pipeline.store.records import RunState
from pipeline.store.run_log import LogLine, follow, read_log


@click.command("logs")
@click.argument("run", type=click.IntRange(1, LARGEST), required=False)
# In other commands -f is the file. For logs, users expect it to follow.
@click.option("--file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="File of the pipeline.")
@parameter_option
@click.option("-f", "-F", "--follow", "following", is_flag=True, help="Continue until the run has finished.")
@click.option("--step", metavar="NAME", help="Print only this step, such as build or test.")
@click.option(
    "--from",
    "start",
    metavar="OFFSET",
    type=click.IntRange(min=0),
    default=0,
    help="Start at byte offset OFFSET, the `end` of a line in --json.",
)
@click.option("--app", "of_app", is_flag=True, help="Print the output of the application's replicas instead.")
@click.option("--service", metavar="NAME", help="With --app: print only this service.")
@click.option("--release", type=click.IntRange(1, LARGEST), help="With --app: print only this release.")
@click.option("--replica", metavar="NAME", help="With --app: print only this container.")
@click.option("--since", metavar="DURATION", help="With --app: begin this long ago, such as 10m.")
@click.option(
    "--tail",
    metavar="LINES",
    type=click.IntRange(0, 1_000_000),
    help="With --app: print only the last LINES lines. With --follow, begin with so many of each replica.",
)
@click.option("--grep", metavar="REGEX", help="With --app: print only lines that match.")
@json_option
def command(
    run: int | None,
    file: Path,
    parameters: tuple[str, ...],
    following: bool,
    step: str | None,
    start: int,
    of_app: bool,
    as_json: bool,
    **app_options: Any,
) -> None:
    """Print the output of the stages of RUN. Default: the latest run.

    With --app, print the output of all replicas in the order of time, also of those that were removed. The home keeps
    up to 64 MiB of these, compressed.
    """
    if of_app:
        if run is not None or step is not None or start:
            raise ConfigError("--app excludes RUN, --step and --from, which are about the output of a run")
        from pipeline.cli.app_log_output import print_app_log

        print_app_log(file, parameters, following=following, as_json=as_json, **app_options)
        return
    if given := [f"--{name}" for name, value in app_options.items() if value is not None]:
        raise ConfigError(f"{given[0]} requires --app")
    with session(file, parameters) as opened:
        number = _number(opened, run)
        path = opened.home.run_log(opened.name, number)
        lines = follow(path, lambda: _has_finished(opened, number), start) if following else read_log(path, start)
        printed = False
        for line in lines if step is None else _of_step(lines, step, number, strict=not (following or start)):
            click.echo(json.dumps(vars(line)) if as_json else _text(line))
            printed = True
        if not (printed or start):
            click.echo(_describe_silence(opened, number), err=True)
        elif following and (stopped := _describe_unfinished(opened, number)):
            click.echo(stopped, err=True)


def _number(opened: Session, run: int | None) -> int:
    number = run or next((r.number for r in opened.store.runs.latest(opened.name, 1)), None)
    if number is None:
        raise ConfigError(f"{opened.name} has not run yet")
    if opened.store.runs.get(opened.name, number) is None:
        raise ConfigError(f"there is no run {number}", hint="list runs with `pipeline history`")
    return number


def _has_finished(opened: Session, number: int) -> bool:
    """Return True if no more output will come, since the run has finished or its process has exited."""
    now = opened.store.runs.get(opened.name, number)
    return now is None or now.state.over or not is_held(opened.home.lock(opened.name))


def _describe_unfinished(opened: Session, number: int) -> str:
    """Describe a run that has not finished. Empty for one that has."""
    status = PipelineStatus.of(opened.home, opened.store, opened.name)
    run = next((run for run in status.runs if run.number == number), None)
    if run is None:
        return ""
    if run.state is RunState.RUNNING and status.interrupted:
        return f"{run.kind} {number} was interrupted: run `pipeline recover`"
    return f"{run.kind} {number} {status.describe(run)}"


def _describe_silence(opened: Session, number: int) -> str:
    """Return why a run has no output, and the commands that show more."""
    run = opened.store.runs.get(opened.name, number)
    if run is None:
        return f"run {number} has been removed by `retention`"
    reason = _describe_unfinished(opened, number)
    if not reason:
        state = run.state.replace("_", " ")
        outcome = run.reason if run.reason.startswith(state) else ", ".join(filter(None, (state, run.reason)))
        reason = f"{run.kind} {number} ({outcome}) built and tested nothing"
    release = next((r for r in opened.store.releases.all(opened.name) if r.number == run.release), None)
    built = release.run if release and release.run != number else None
    more = f", and `pipeline logs {built}` the output of release {run.release}" if built else ""
    return f"{reason}; `pipeline events {number}` shows its steps{more}"


def _of_step(lines: Iterator[LogLine], step: str, number: int, *, strict: bool) -> Iterator[LogLine]:
    """Yield the lines of one step. With `strict`, a step without any line is an error, since it is likely misspelt."""
    steps = set()
    for line in lines:
        steps.add(line.stage)
        if line.stage == step:
            yield line
    if strict and steps and step not in steps:
        raise ConfigError(f"run {number} has no output of step {step}", hint=did_you_mean(step, steps))


def _text(line: LogLine) -> str:
    return f"{line.at[11:23]}  {line.stage:5}  {line.text}"
