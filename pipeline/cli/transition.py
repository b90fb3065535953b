"""`pipeline transition`: close a stage, and open it again."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.session import Session, pipeline_options, session
from pipeline.events import Events
from pipeline.runner import gates
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
        gates.disable_transition(opened.store, _events(opened), stage, reason)
    click.echo(f"open it again with: pipeline transition enable {stage}")


@command.command("enable")
@_stage
@pipeline_options
def enable(stage: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Let runs into STAGE again."""
    with session(file, parameters) as opened:
        if not gates.enable_transition(opened.store, _events(opened), stage):
            click.echo(f"{stage.capitalize()} was not closed")


def _events(opened: Session) -> Events:
    """What is said here, and in the pipeline's events."""
    events = Events(opened.name)
    events.subscribe(opened.store.events.record)
    events.subscribe(lambda event: click.echo(event.message))
    return events
