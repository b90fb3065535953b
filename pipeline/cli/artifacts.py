"""`pipeline artifacts`: files kept from a run's tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.printable import escape_line
from pipeline.base.whole_number import LARGEST
from pipeline.cli.output import table
from pipeline.cli.session import Session, json_option, pipeline_options, session


@click.command("artifacts")
@click.argument("run", type=click.IntRange(1, LARGEST), required=False)
@pipeline_options
@click.option("--copy-to", "target", metavar="DIR", type=click.Path(path_type=Path), help="Copy the files to DIR.")
@json_option
def command(run: int | None, file: Path, parameters: tuple[str, ...], target: Path | None, as_json: bool) -> None:
    """List the files kept of RUN by their paths in the test container. Default: the latest run with files.

    build.test.artifacts selects the files. Those of a second attempt of the tests are in try-2.
    """
    with session(file, parameters) as opened:
        number = _number(opened, run)
    from pipeline.http.run_artifacts import RunArtifacts

    folder = opened.home.run_artifacts(opened.name, number)
    files = RunArtifacts(opened.home, opened.name, number).all()
    if not files:
        raise ConfigError(f"run {number} has no artifacts", hint="select files with build.test.artifacts")
    if target is not None:
        _copy(folder, target)
    if as_json:
        click.echo(json.dumps([each.as_data() for each in files]))
    elif target is not None:
        click.echo(f"copied {len(files)} files of run {number} to {target}")
    else:
        table([(str(number), str(each.size), escape_line(each.path)) for each in files], "run", "bytes", "path")


def _number(opened: Session, run: int | None) -> int:
    """Return the given run, or the latest one with artifacts. Raises `ConfigError` if there is none."""
    if run is not None:
        if opened.store.runs.get(opened.name, run) is None:
            raise ConfigError(f"there is no run {run}", hint="list runs with `pipeline history`")
        return run
    folders = opened.home.logs.joinpath(opened.name).glob("*.artifacts")
    numbers = [int(folder.stem) for folder in folders if folder.stem.isdigit()]
    if not numbers:
        raise ConfigError(f"no run of {opened.name} has artifacts", hint="select files with build.test.artifacts")
    return max(numbers)


def _copy(folder: Path, target: Path) -> None:
    """Copy like `cp -r`. The folder contains regular files and folders only."""
    try:
        shutil.copytree(folder, target, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise SystemFault(f"cannot copy to {target}: {error}") from error
