"""`pipeline transition`: disable and enable the transition into a stage."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.printable import escape_line
from pipeline.cli.session import Session, pipeline_options, session
from pipeline.events import Events
from pipeline.runner import gates
from pipeline.store.queue import STAGES

_stage = click.argument("stage", type=click.Choice(STAGES))


@click.group("transition")
def command() -> None:
    """Disable or enable the transition into a stage. Runs wait before it, and newer ones supersede them."""


@command.command("disable")
@_stage
@click.option("--reason", required=True, help="Reason, shown to waiting runs.")
@pipeline_options
def disable(stage: str, reason: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Disable the transition into STAGE."""
    with session(file, parameters) as opened:
        gates.disable_transition(opened.store, _events(opened), stage, escape_line(reason))
    click.echo(f"enable it with: pipeline transition enable {stage}")


@command.command("enable")
@_stage
@pipeline_options
def enable(stage: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Enable the transition into STAGE."""
    with session(file, parameters) as opened:
        if not gates.enable_transition(opened.store, _events(opened), stage):
            click.echo(f"transition into {stage.capitalize()} is already enabled")


def _events(opened: Session) -> Events:
    """Return events that are stored and printed."""
    events = Events(opened.name, by=opened.user)
    events.subscribe(opened.store.events.record)
    events.subscribe(lambda event: click.echo(event.message))
    return events
