"""`pipeline approve`: approve a run that waits for approval."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.whole_number import LARGEST
from pipeline.cli.decision import record_decision
from pipeline.cli.session import pipeline_options


@click.command("approve")
@click.argument("run", type=click.IntRange(1, LARGEST))
@click.option("-m", "--comment", default="", help="Comment, stored with the decision.")
@pipeline_options
def command(run: int, comment: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Approve RUN, which is waiting for approval (deploy.approval)."""
    record_decision(run, file, parameters, granted=True, comment=comment)
