"""What a container needs of its engine, checked before anything starts."""

from __future__ import annotations

from pipeline.balancer.model import TargetGroup
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import nearest
from pipeline.config.container_settings import ContainerSettings
from pipeline.config.host_fit import group_obstacle, obstacle_on_host
from pipeline.config.service import ServiceSettings
from pipeline.config.swarm_fit import swarm_mistakes
from pipeline.engine.cluster import SWARM, ClusterSpec
from pipeline.engine.host import LOCAL
from pipeline.engine.interfaces import Engine
from stages.deploy.release_rollout import ReleaseRollout


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


def check_engines(section: str, settings: ServiceSettings, pipeline: str, rollout: ReleaseRollout) -> None:
    """Check the engines that run a service: the local one for a job, else those of the hosts that answer.

    Raises `ConfigError` with the host, and `EngineFault` if none answers.
    """
    cluster = rollout.cluster.spec
    if cluster.is_local or settings.is_job:
        check_engine(section, settings, pipeline, rollout.engine)
        return
    # Waits for those that do not answer.
    rollout.runtime.list(pipeline)
    if SWARM in cluster.taking and settings.no_new_privileges and not rollout.engine.swarm_limits_privileges:
        raise ConfigError(
            f"{section}.no_new_privileges: this version of Docker cannot set it in a Swarm",
            hint="write no_new_privileges: false, or upgrade Docker on all nodes to version 25",
        )
    for name, engine in rollout.cluster.taking_engines.items():
        check_engine(f"host {name}: {section}", settings, pipeline, engine)


def check_hosts(section: str, settings: ServiceSettings, group: TargetGroup | None, cluster: ClusterSpec) -> None:
    """Raise `ConfigError` if a service of an earlier release cannot run on the hosts that there are now."""
    if settings.is_job or not any(spec.docker != LOCAL for spec in cluster.specs):
        return
    is_swarm = SWARM in cluster.taking
    if mistake := next(swarm_mistakes(settings, is_swarm=is_swarm, reaches_nodes=bool(cluster.nodes)), None):
        key = ".".join(map(str, mistake.path))
        raise ConfigError(f"{section}.{key}: {mistake}", hint="change deploy.runtime first, or run its commit again")
    if obstacle := obstacle_on_host(settings) or (group and group_obstacle(group)):
        raise ConfigError(f"{section}: {obstacle}", hint="deploy without deploy.hosts first, or run its commit again")


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
