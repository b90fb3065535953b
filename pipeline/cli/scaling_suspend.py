"""`pipeline scaling suspend` and `resume`: keep a number of containers for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.cli.session import Session, pipeline_options, session
from pipeline.event_kinds import EventKind
from pipeline.events import Events

_services = click.argument("services", metavar="[SERVICE]...", nargs=-1)


@click.command("suspend")
@_services
@pipeline_options
def suspend(services: tuple[str, ...], file: Path, parameters: tuple[str, ...]) -> None:
    """Suspend scale-out, scale-in and scheduled actions of each SERVICE, or of all scaled ones.

    `pipeline scale` changes the number meanwhile. Deployments keep the suspension.
    """
    with session(file, parameters) as opened:
        for service, is_changed in _change(opened, services, opened.store.scaling.suspend):
            if is_changed:
                _emit(opened, EventKind.SCALING_SUSPENDED, f"scaling of {service} suspended", service)
            else:
                click.echo(f"scaling of {service} is suspended already")


@click.command("resume")
@_services
@pipeline_options
def resume(services: tuple[str, ...], file: Path, parameters: tuple[str, ...]) -> None:
    """Resume the scaling of each SERVICE, or of all scaled ones. Bounds that were missed apply now."""
    with session(file, parameters) as opened:
        for service, is_changed in _change(opened, services, opened.store.scaling.resume):
            if is_changed:
                _emit(opened, EventKind.SCALING_RESUMED, f"scaling of {service} resumed", service)
            else:
                click.echo(f"scaling of {service} is not suspended")


def _change(opened: Session, wanted: tuple[str, ...], change: Callable[[str, str], bool]) -> Iterator[tuple[str, bool]]:
    """Change the wanted services, or all. Yield each, with whether that has changed it. Raises `ConfigError`."""
    known = tuple(opened.store.scaling.policies(opened.name))
    if not known:
        raise ConfigError(
            f"{opened.name} has no scaled service", hint="add `scaling` to a service in pipeline.yaml and deploy that"
        )
    for service in wanted:
        if service not in known:
            raise ConfigError(f"{opened.name} has no scaled service {service}", hint=did_you_mean(service, known))
    for service in wanted or known:
        yield service, change(opened.name, service)


def _emit(opened: Session, kind: EventKind, text: str, service: str) -> None:
    events = Events(opened.name, by=opened.user)
    events.subscribe(opened.store.events.record)
    events.subscribe(lambda event: click.echo(event.message))
    events.emit_action(kind, text, service=service)
