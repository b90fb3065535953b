"""The container of an accessory, as the engine makes it."""

from __future__ import annotations

from pipeline.accessories.record import Version
from pipeline.api import StageContext
from pipeline.config.mounts import resolved_mounts
from pipeline.config.privileges import pids
from pipeline.engine.container import ContainerSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import (
    LABEL_ACCESSORY,
    LABEL_GRACE,
    LABEL_PIPELINE,
    LABEL_ROLE,
    LABEL_STARTED,
    LABEL_VERSION,
    ROLE_ACCESSORY,
)


def container_name(pipeline: str, accessory: str, version: Version) -> str:
    """Return the name of a version's container. Replicas have a name of four parts, so it is not one of theirs."""
    return f"{pipeline}.{accessory}.{version.id}"


def container_spec(context: StageContext, engine: Engine, name: str, version: Version, image: str) -> ContainerSpec:
    """Return the container of a version of the accessory `name`, in the pipeline's network and reached by its name.

    Raises `ConfigError` for a missing secret, and if the policy does not allow a mount.
    """
    pipeline, settings = context.configuration.pipeline.name, version.settings
    return ContainerSpec(
        name=container_name(pipeline, name, version),
        image=image,
        labels={
            LABEL_PIPELINE: pipeline,
            LABEL_ROLE: ROLE_ACCESSORY,
            LABEL_ACCESSORY: name,
            LABEL_VERSION: version.id,
            LABEL_GRACE: str(settings.stop_grace.total_seconds()),
            LABEL_STARTED: str(context.clock.now()),
        },
        command=settings.command,
        entrypoint=settings.entrypoint,
        environment=context.configuration.secrets.resolve_all(settings.environment),
        volumes=resolved_mounts(context.home.policy(pipeline), settings.volumes),
        memory=settings.memory,
        cpus=settings.cpus,
        init=settings.init,
        shm_size=settings.shm_size,
        pids=pids(settings.pids_limit),
        privileges=settings.privileges,
        log=settings.log_limit,
        options=settings.container_options,
        probe=settings.health_check.probe,
        network=engine.networks.name(pipeline),
        address=str(engine.networks.free_address(pipeline)),
        aliases=(name,),
        published=settings.published,
    )
