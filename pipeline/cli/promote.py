"""`pipeline promote`: continue a deployment that waits."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.deployment_worker import warn_without_worker
from pipeline.cli.session import pipeline_options, session


@click.command("promote")
@click.argument("service", required=False)
@pipeline_options
def command(service: str | None, file: Path, parameters: tuple[str, ...]) -> None:
    """Continue the deployment that waits: end a pause of its hooks, or its present bake time.

    SERVICE is required only if several wait.
    """
    from pipeline.runner.deployment_answer import promote

    with session(file, parameters) as opened:
        click.echo(promote(opened.store, opened.name, opened.user, service))
        warn_without_worker(opened)
