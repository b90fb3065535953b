"""The settings of a container that serves until it is replaced: of a service or of an accessory."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.quantity import Duration, Size
from pipeline.config.container_log import LOG, ContainerLog
from pipeline.config.container_values import Cpus, Memory
from pipeline.config.environment import Environment
from pipeline.config.privileges import (
    DEFAULT_PIDS_LIMIT,
    AddedCapabilities,
    DroppedCapabilities,
    NoNewPrivileges,
    PidsLimit,
    check_capabilities,
    privileges,
)
from pipeline.config.steps import ENTRYPOINT, INIT, SHM_SIZE, Command, Entrypoint
from pipeline.config.volume import Volumes
from pipeline.engine.container import Privileges


class ContainerSettings(Model):
    """What a container is made from, besides its image."""

    command: Command | None = Field(
        None, description="Command that replaces the image's CMD. It is passed to the image's ENTRYPOINT."
    )
    entrypoint: Entrypoint | None = Field(None, description=ENTRYPOINT)
    environment: Environment = Field({}, description="Variables of the containers. May contain ${secret:NAME}.")
    volumes: Volumes = Field(
        (), description="`/path/on/host:/path/in/container[:ro]` or `volume-name:/path/in/container[:ro]`."
    )
    memory: Memory | None = Field(None, description="Memory limit of each container. None: no limit.")
    cpus: Cpus | None = Field(None, description="CPU limit of each container, in cores. None: no limit.")
    init: bool = Field(False, description=INIT)
    shm_size: Size | None = Field(None, description=SHM_SIZE)
    pids_limit: PidsLimit = DEFAULT_PIDS_LIMIT
    cap_add: AddedCapabilities = ()
    cap_drop: DroppedCapabilities = ()
    no_new_privileges: NoNewPrivileges = True
    log: ContainerLog = Field(ContainerLog(), description=LOG)
    stop_grace: Duration = Field(
        timedelta(seconds=10), description="Time from SIGTERM to SIGKILL when a drained container is stopped."
    )

    @property
    def privileges(self) -> Privileges:
        """The privileges of its containers."""
        return privileges(self.cap_add, self.cap_drop, no_new_privileges=self.no_new_privileges)

    @model_validator(mode="after")
    def _check_capabilities(self) -> Self:
        check_capabilities(self.cap_add, self.cap_drop)
        return self
