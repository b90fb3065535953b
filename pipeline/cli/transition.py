"""`pipeline transition`: close a stage, and open it again."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.session import pipeline_options, session
from pipeline.store.queue import STAGES

_stage = click.argument("stage", type=click.Choice(STAGES))


@click.group("transition")
def command() -> None:
    """Close a stage of this pipeline for a while. Runs wait before it, and newer ones take their place."""


@command.command("disable")
@_stage
@click.option("--reason", required=True, help="Why; whoever waits is told.")
@pipeline_options
def disable(stage: str, reason: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Let no run into STAGE."""
    with session(file, parameters) as opened:
        opened.store.queue.close_transition(opened.name, stage, reason)
    click.echo(f"no run goes into {stage}")


@command.command("enable")
@_stage
@pipeline_options
def enable(stage: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Let runs into STAGE again."""
    with session(file, parameters) as opened:
        was_closed = opened.store.queue.open_transition(opened.name, stage)
    click.echo(f"runs go into {stage} again" if was_closed else f"{stage} was not closed")
