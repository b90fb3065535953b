"""The option that names a service of a stack in place of a pipeline's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.ecs.records import Service
    from pipeline.store.store import Store

_KEY = "penstock.service"


def _remember(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    context.meta[_KEY] = value


service_option = click.option(
    "--service",
    metavar="NAME",
    callback=_remember,
    expose_value=False,
    help="ECS service of a stack, in place of --file: its name, its ARN or that of its pipeline.",
)


def chosen_pipeline(home: Home) -> str | None:
    """Return the pipeline of the service that the command line names, or None. Raises `ConfigError`."""
    context = click.get_current_context(silent=True)
    name = context.meta.get(_KEY) if context else None
    return _find(home, name).pipeline if name else None


def load_service(home: Home, store: Store, pipeline: str) -> Configuration:
    """Return the configuration of a service's pipeline."""
    from pipeline.ecs.context import service_context
    from pipeline.ecs.store import EcsStore

    kept = EcsStore(home.aws)
    return service_context(home, store, kept, _find(home, pipeline)).configuration


def _find(home: Home, name: str) -> Service:
    from pipeline.ecs.store import EcsStore

    services = EcsStore(home.aws).read().services
    found = [service for service in services if name in (service.name, service.arn, service.pipeline)]
    if not found:
        known = ", ".join(sorted(service.name for service in services)) or "none"
        raise ConfigError(f"there is no service {name}", hint=f"the services of stacks: {known}")
    if len(found) > 1:
        arns = ", ".join(service.arn for service in found)
        raise ConfigError(f"there are {len(found)} services {name}", hint=f"write the ARN: {arns}")
    return found[0]
