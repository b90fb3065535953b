"""`pipeline import`: descriptions of other systems as a pipeline.yaml."""

from __future__ import annotations

import click

from pipeline.cli import import_codepipeline, import_compose, import_procfile


@click.group(short_help="Translate a Compose file, a Procfile or a CodePipeline of AWS.")
def command() -> None:
    """Translate what another system has declared into a pipeline.yaml."""


command.add_command(import_codepipeline.command)
command.add_command(import_compose.command)
command.add_command(import_procfile.command)
