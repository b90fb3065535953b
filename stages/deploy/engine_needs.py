"""What a container needs of its engine, checked before anything starts."""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import nearest
from pipeline.config.container_settings import ContainerSettings
from pipeline.engine.interfaces import Engine


def check_engine(section: str, settings: ContainerSettings, pipeline: str, engine: Engine) -> None:
    """Raise `ConfigError` for what the engine would refuse when it creates the first container, after the build.

    `section` has the settings. It is named in the error.
    """
    _check_cpus(section, settings.cpus, engine)
    for network in settings.networks:
        _check_network(f"{section}.networks", network, pipeline, engine)
    driver = settings.logging.driver if settings.logging else None
    if driver and (name := driver.removesuffix(":latest")) not in (known := _log_drivers(engine)):
        near = nearest(name, known)
        raise ConfigError(
            f"{section}.logging.driver: Docker has no log driver {driver}",
            hint=f"did you mean {near}?" if near else f"it has {', '.join(sorted(known))}",
        )


def _check_cpus(section: str, wanted: float | None, engine: Engine) -> None:
    if wanted and wanted > (available := engine.cpus):
        raise ConfigError(
            f"{section}.cpus: {wanted:g} is more than the {available} CPUs of Docker's machine",
            hint="lower it, or remove it to have no limit",
        )


def _check_network(section: str, network: str, pipeline: str, engine: Engine) -> None:
    if network == engine.networks.name(pipeline):
        raise ConfigError(f"{section}: {network} is the network of {pipeline} itself, which its containers join anyway")
    if not engine.networks.has(network):
        raise ConfigError(
            f"{section}: Docker has no network {network}", hint=f"create it: docker network create {network}"
        )


def _log_drivers(engine: Engine) -> frozenset[str]:
    # Docker lists a plug-in by the name of its image, with a tag.
    return frozenset(name.removesuffix(":latest") for name in engine.log_drivers)
