"""`pipeline secrets`: the secrets that a pipeline.yaml uses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.output import table
from pipeline.cli.session import json_option, located, pipeline_options, split_parameter


@click.group("secrets")
def command() -> None:
    """Check the secrets of a pipeline."""


@command.command("check")
@pipeline_options
@json_option
def check(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List each secret that the file uses, the lines that use it, and the source of its value. Never the value.

    Exits with 2 if a value is missing. The environment is that of this shell: a daemon has its own.
    """
    from pipeline.config.load import load

    file, given = located(Home.locate(), file, parameters)
    found = load(file, dict(split_parameter(each) for each in given), missing_allowed=True).used_secrets
    if as_json:
        click.echo(json.dumps([{**asdict(used), "file": str(file)} for used in found]))
    elif found:
        table([(used.name, _places(file, used.lines), used.origin) for used in found], "secret", "used in", "source")
    else:
        click.echo(f"{file} uses no secrets")
    if missing := [used.name for used in found if used.origin == "missing"]:
        noun = "secret is" if len(missing) == 1 else "secrets are"
        raise ConfigError(f"{len(missing)} {noun} missing: {', '.join(missing)}", hint=f"export {missing[0]}=…")


def _places(file: Path, lines: tuple[int, ...]) -> str:
    return ", ".join(f"{file}:{line}" for line in lines)
