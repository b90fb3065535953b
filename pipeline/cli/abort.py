"""`pipeline abort`: roll the deployment in progress back."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.printable import escape_line
from pipeline.cli.deployment_worker import warn_without_worker
from pipeline.cli.session import pipeline_options, session


@click.command("abort")
@click.argument("service", required=False)
@click.option("-m", "--comment", default="", help="Reason, shown as that of the run.")
@pipeline_options
def command(service: str | None, comment: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Roll the deployment in progress back. All services of a release are rolled back together.

    With SERVICE, only if the release has this service.
    """
    from pipeline.runner.deployment_answer import abort

    with session(file, parameters) as opened:
        click.echo(abort(opened.store, opened.name, opened.user, escape_line(comment), service))
        warn_without_worker(opened)
