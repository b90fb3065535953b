"""`pipeline validate`: report every mistake in pipeline.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.session import FILE, json_option


@click.command("validate")
@click.argument("file", type=click.Path(path_type=Path), default=FILE)
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Report every mistake in FILE with its line. Changes nothing.

    The values of secrets are not needed, but a secrets file that exists must be valid.
    """
    from pipeline.cli.session import split_parameter
    from pipeline.config.load import load

    overrides = dict(split_parameter(p) for p in parameters)
    try:
        configuration = load(file, overrides, secrets_needed=False, secrets_checked=True)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps([{"file": str(file), **vars(p)} for p in error.problems]))
        raise
    click.echo("[]" if as_json else f"{file}: {configuration.pipeline.name} is valid")
