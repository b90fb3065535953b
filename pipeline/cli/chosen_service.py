"""The service of a stack that `-p NAME` selects in place of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.ecs.records import Service
    from pipeline.store.store import Store


def service_names(home: Home) -> list[str]:
    """Return the names of the services of all stacks."""
    return sorted({service.name for service in _services(home)})


def service_pipeline(home: Home, name: str) -> str | None:
    """Return the pipeline of a service, which is found by its name, its ARN or that of its pipeline. None without one.

    Raises `ConfigError` if several services have the name.
    """
    found = [service for service in _services(home) if name in (service.name, service.arn, service.pipeline)]
    if len(found) > 1:
        arns = ", ".join(service.arn for service in found)
        raise ConfigError(f"there are {len(found)} services {name}", hint=f"write the ARN: {arns}")
    return found[0].pipeline if found else None


def load_service(home: Home, store: Store, pipeline: str) -> Configuration:
    """Return the configuration of a service's pipeline."""
    from pipeline.ecs.context import service_context
    from pipeline.ecs.store import EcsStore

    (service,) = [each for each in _services(home) if each.pipeline == pipeline]
    return service_context(home, store, EcsStore(home.aws), service).configuration


def _services(home: Home) -> Sequence[Service]:
    # Without the file, nothing of ECS is loaded.
    if not (home.aws / "ecs.json").exists():
        return ()
    from pipeline.ecs.store import EcsStore

    return EcsStore(home.aws).read().services
