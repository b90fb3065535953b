"""The process that reads the answers to a deployment."""

from __future__ import annotations

import click

from pipeline.base.lock import is_held
from pipeline.cli.session import Session


def warn_without_worker(opened: Session) -> None:
    """Print that no process works on the pipeline now, so an answer has no effect before the next one."""
    if not is_held(opened.home.lock(opened.name)):
        click.echo(
            "no process works on the deployment now: `pipeline serve`, or the next `pipeline run`, recovers it",
            err=True,
        )
