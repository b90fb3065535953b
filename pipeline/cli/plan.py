"""`pipeline plan`: the steps of a run, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.session import json_option, pipeline_options, session


@click.command("plan")
@click.argument("commit", required=False)
@pipeline_options
@json_option
def command(commit: str | None, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show what `pipeline run COMMIT` would do: the targets, their order, and the lowest healthy count."""
    with session(file, parameters, secrets_needed=True) as opened:
        plan = opened.runner().plan(commit)
    if as_json:
        click.echo(json.dumps(plan))
        return
    for stage, steps in plan.items():
        click.echo(stage.capitalize())
        for step in steps:
            click.echo(f"  {step}")
