"""`pipeline reject`: answer a run that waits for approval."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.answer import answer
from pipeline.cli.session import pipeline_options


@click.command("reject")
@click.argument("run", type=click.IntRange(min=1))
@click.option("-m", "--comment", default="", help="Why.")
@pipeline_options
def command(run: int, comment: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Do not let RUN be deployed, which waits for it; it has failed then."""
    answer(run, file, parameters, granted=False, comment=comment)
