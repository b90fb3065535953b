"""The settings of a container that serves until it is replaced: of a service or of an accessory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Size
from pipeline.config.container_labels import ContainerLabels
from pipeline.config.container_log import LOG, ContainerLog
from pipeline.config.container_process import StopSignal, User, WorkingDir
from pipeline.config.container_values import Cpus, Memory
from pipeline.config.devices import Devices, device_mapping
from pipeline.config.env_file import ENV_FILE, EnvFiles
from pipeline.config.environment import Environment
from pipeline.config.extra_hosts import ExtraHosts
from pipeline.config.gpus import Gpus
from pipeline.config.joined_networks import JoinedNetworks
from pipeline.config.logging_driver import LIMITED_DRIVERS, Logging
from pipeline.config.privileges import (
    DEFAULT_PIDS_LIMIT,
    AddedCapabilities,
    DroppedCapabilities,
    NoNewPrivileges,
    PidsLimit,
    capability_mistakes,
    privileges,
)
from pipeline.config.run_variables import unescape
from pipeline.config.service_secrets import SECRETS, ServiceSecrets
from pipeline.config.steps import ENTRYPOINT, INIT, SHM_SIZE, Command, Entrypoint
from pipeline.config.tmpfs import Tmpfs, split_tmpfs
from pipeline.config.ulimits import Ulimits
from pipeline.config.volume import Volumes, mount_path
from pipeline.engine.container import LogLimit, Privileges
from pipeline.engine.container_options import ContainerOptions, Ulimit

OPTIONAL_SETTINGS = (
    *("user", "working_dir", "stop_signal", "read_only", "tmpfs", "ulimits", "extra_hosts", "labels", "logging"),
    *("gpus", "networks", "devices"),
)
"""Settings that are no part of a container, of its template and of a stored release unless they are set."""
_MAX_SIZE, _MAX_FILES = "max-size", "max-file"


class ContainerSettings(Model):
    """What a container is made from, besides its image."""

    command: Command | None = Field(
        None, description="Command that replaces the image's CMD. It is passed to the image's ENTRYPOINT."
    )
    entrypoint: Entrypoint | None = Field(None, description=ENTRYPOINT)
    environment: Environment = Field({}, description="Variables of the containers. May contain ${secret:NAME}.")
    env_file: EnvFiles = Field((), exclude=True, description=ENV_FILE)
    secrets: ServiceSecrets = Field((), exclude=True, description=SECRETS)
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

    user: User | None = Field(
        None,
        description="User of the process, with or without a group: `1000:1000`. None: the image's USER.",
    )
    working_dir: WorkingDir | None = Field(
        None, description="Folder in which the process starts. None: the image's WORKDIR."
    )
    stop_signal: StopSignal | None = Field(
        None, description="Signal that stops the process, before SIGKILL. None: the image's STOPSIGNAL, else SIGTERM."
    )
    read_only: bool = Field(False, description="Make the root file system read-only. Volumes and `tmpfs` are not.")
    tmpfs: Tmpfs = Field((), description="Folders in memory, such as `/run:size=64m,mode=1777`. They count in memory.")
    ulimits: Ulimits = Field(
        {}, description="Resource limits of each process, such as `nofile: 65536`. -1: unlimited. See below."
    )
    extra_hosts: ExtraHosts = Field(
        (), description="Names in /etc/hosts, such as `db:10.0.0.5`. `host-gateway` stands for Docker's machine."
    )
    labels: ContainerLabels = Field({}, description="Labels of the containers, for other programs.")
    logging: Logging | None = Field(
        None, description="Docker's log driver. None: Docker's default one, with the limits in `log`."
    )
    gpus: Gpus = Field((), description="GPUs: `all`, a number, or a list of requests. See below.")
    networks: JoinedNetworks = Field(
        {}, description="Existing networks of Docker that the containers join besides the pipeline's own. See below."
    )
    devices: Devices = ()

    @property
    def privileges(self) -> Privileges:
        """The privileges of its containers."""
        return privileges(self.cap_add, self.cap_drop, no_new_privileges=self.no_new_privileges)

    @property
    def log_limit(self) -> LogLimit:
        """The limit of the log, for Docker's drivers that have one."""
        return LogLimit(self.log.max_size, self.log.max_files)

    @property
    def container_options(self) -> ContainerOptions:
        """The options of its containers."""
        return ContainerOptions(
            user=self.user,
            working_dir=self.working_dir,
            stop_signal=self.stop_signal,
            read_only=self.read_only,
            tmpfs=dict(map(split_tmpfs, self.tmpfs)),
            ulimits={name: Ulimit(limit.soft, limit.hard) for name, limit in self.ulimits.items()},
            extra_hosts=self.extra_hosts,
            labels={name: unescape(value) for name, value in self.labels.items()},
            log_driver=self.logging.log_driver if self.logging else None,
            device_requests=tuple(each.device_request for each in self.gpus),
            networks={name: each.aliases for name, each in self.networks.items()},
            devices=tuple(map(device_mapping, self.devices)),
        )

    @model_validator(mode="after")
    def _check_container(self) -> Self:
        refuse(
            (
                *capability_mistakes(self.cap_add, self.cap_drop),
                *self._mistakes_of_tmpfs(),
                *self._mistakes_of_log(),
            )
        )
        return self

    def _mistakes_of_tmpfs(self) -> Iterator[FieldError]:
        mounted = {mount_path(volume): volume for volume in self.volumes}
        for index, entry in enumerate(self.tmpfs):
            if volume := mounted.get(split_tmpfs(entry)[0]):
                yield FieldError(("tmpfs", index), f"{entry!r} has the same path as the volume {volume!r}")

    def _mistakes_of_log(self) -> Iterator[FieldError]:
        """Yield limits that would have no effect. A stored release has the default ones."""
        if self.logging is None or self.log == ContainerLog():
            return
        driver = self.logging.driver
        if driver is not None and driver not in LIMITED_DRIVERS:
            yield FieldError("log", f"has no effect with the driver {driver} in logging; remove it")
        for option, key in ((_MAX_SIZE, "max_size"), (_MAX_FILES, "max_files")):
            if option in self.logging.options:
                where = ("logging", "options", option)
                yield FieldError(where, f"must not be combined with log; set log.{key} instead")
