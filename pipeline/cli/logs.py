"""`pipeline logs`: what a run's stages printed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.session import json_option, pipeline_options, session
from pipeline.errors import ConfigError
from pipeline.lock import is_held
from pipeline.log import LogLine, follow, read_log
from pipeline.store.records import RunState


@click.command("logs")
@click.argument("run", type=click.IntRange(min=1), required=False)
@pipeline_options
@click.option("-F", "--follow", "following", is_flag=True, help="Go on until the run ends.")
@json_option
def command(run: int | None, file: Path, parameters: tuple[str, ...], following: bool, as_json: bool) -> None:
    """What the stages of RUN printed; of the latest run when it is not given."""
    with session(file, parameters) as opened:
        number = run or next((r.number for r in opened.store.runs(opened.name, 1)), None)
        found = opened.store.run(opened.name, number) if number else None
        if number is None or found is None:
            message = f"there is no run {number}" if number else f"{opened.name} has not run yet"
            raise ConfigError(message, hint="`pipeline history` lists them" if number else None)

        def finished() -> bool:
            now = opened.store.run(opened.name, number)
            return now is None or now.state is not RunState.RUNNING or not is_held(opened.home.lock(opened.name))

        path = opened.home.run_log(opened.name, number)
        for line in follow(path, finished) if following else read_log(path):
            click.echo(json.dumps(vars(line)) if as_json else _text(line))


def _text(line: LogLine) -> str:
    return f"{line.at[11:23]}  {line.stage:5}  {line.text}"
