"""`pipeline scaling suspend` and `resume`: keep a number of containers for a while."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.session import Session, pipeline_options, session
from pipeline.events import Events
from pipeline.runner.scaling_suspension import resume_scaling, scaled_services, suspend_scaling

_services = click.argument("services", metavar="[SERVICE]...", nargs=-1)


@click.command("suspend")
@_services
@pipeline_options
def suspend(services: tuple[str, ...], file: Path, parameters: tuple[str, ...]) -> None:
    """Suspend scale-out, scale-in and scheduled actions of each SERVICE, or of all scaled ones.

    `pipeline scale` changes the number meanwhile. Deployments keep the suspension.
    """
    with session(file, parameters) as opened:
        for service in scaled_services(opened.store, opened.name, services):
            if not suspend_scaling(opened.store, _events(opened), service):
                click.echo(f"scaling of {service} is suspended already")


@click.command("resume")
@_services
@pipeline_options
def resume(services: tuple[str, ...], file: Path, parameters: tuple[str, ...]) -> None:
    """Resume the scaling of each SERVICE, or of all scaled ones. Bounds that were missed apply now."""
    with session(file, parameters) as opened:
        for service in scaled_services(opened.store, opened.name, services):
            if not resume_scaling(opened.store, _events(opened), service):
                click.echo(f"scaling of {service} is not suspended")


def _events(opened: Session) -> Events:
    events = Events(opened.name, by=opened.user)
    events.subscribe(opened.store.events.record)
    events.subscribe(lambda event: click.echo(event.message))
    return events
