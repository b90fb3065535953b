"""`pipeline logs`: what a run's stages printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.lock import is_held
from pipeline.base.suggestion import did_you_mean
from pipeline.cli.session import FILE, Session, json_option, session
from pipeline.store.records import RunState
from pipeline.store.run_log import LogLine, follow, read_log


@click.command("logs")
@click.argument("run", type=click.IntRange(min=1), required=False)
# Everywhere else -f is the file; whoever reads logs expects to follow them with it.
@click.option("--file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="The pipeline.")
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Give a parameter its value."
)
@click.option("-f", "-F", "--follow", "following", is_flag=True, help="Go on until the run ends.")
@click.option("--step", metavar="NAME", help="Only what this step printed, such as build or test.")
@click.option(
    "--from",
    "start",
    metavar="OFFSET",
    type=click.IntRange(min=0),
    default=0,
    help="Begin after the line with this `end`, which --json prints with each.",
)
@json_option
def command(
    run: int | None,
    file: Path,
    parameters: tuple[str, ...],
    following: bool,
    step: str | None,
    start: int,
    as_json: bool,
) -> None:
    """What the stages of RUN printed; of the latest run when it is not given."""
    with session(file, parameters) as opened:
        number = _number(opened, run)
        path = opened.home.run_log(opened.name, number)
        lines = follow(path, lambda: _is_over(opened, number), start) if following else read_log(path, start)
        for line in lines if step is None else _of_step(lines, step, number, strict=not (following or start)):
            click.echo(json.dumps(vars(line)) if as_json else _text(line))


def _number(opened: Session, run: int | None) -> int:
    number = run or next((r.number for r in opened.store.runs.latest(opened.name, 1)), None)
    if number is None:
        raise ConfigError(f"{opened.name} has not run yet")
    if opened.store.runs.get(opened.name, number) is None:
        raise ConfigError(f"there is no run {number}", hint="`pipeline history` lists them")
    return number


def _is_over(opened: Session, number: int) -> bool:
    """Nobody will print anything more: the run has ended, or whoever worked on it has."""
    now = opened.store.runs.get(opened.name, number)
    if now is None or now.state.over:
        return True
    return now.state is RunState.RUNNING and not is_held(opened.home.lock(opened.name))


def _of_step(lines: Iterator[LogLine], step: str, number: int, *, strict: bool) -> Iterator[LogLine]:
    """The lines of one step. Where all are there, one that printed nothing is more likely misspelt."""
    steps = set()
    for line in lines:
        steps.add(line.stage)
        if line.stage == step:
            yield line
    if strict and steps and step not in steps:
        raise ConfigError(f"no step {step} of run {number} printed anything", hint=did_you_mean(step, steps))


def _text(line: LogLine) -> str:
    return f"{line.at[11:23]}  {line.stage:5}  {line.text}"
