"""Containers in the form that all engines share, and the specification of a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pipeline.engine.container_options import ContainerOptions

SIGKILL_CODE = 137
"""The exit code of a process that SIGKILL ended."""


def ran_out_of_memory(oom_killed: bool, exit_code: int | None) -> bool:
    """Return whether a container's process was killed for its memory limit, and not only a child of it."""
    return oom_killed and exit_code == SIGKILL_CODE


class ContainerHealth(StrEnum):
    """The result of a container's health probe. It is `starting` until a probe has passed, or too many have failed."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class HealthProbe:
    """A command that the engine runs inside a container, and that exits with 0 if the container is healthy.

    The engine waits `interval` before each run, and a run fails after `timeout`. After `threshold` failures in a row
    the container is unhealthy. One success makes it healthy. Without a `command`, it is the HEALTHCHECK of the image
    with the image's times, and nothing if the image has none. Failures within `start_period` do not count.
    """

    command: tuple[str, ...] | None
    interval: timedelta
    timeout: timedelta
    threshold: int
    start_period: timedelta = timedelta(0)


@dataclass(frozen=True)
class Container:
    """A container as reported by its engine. `address` is its address in its network, also while it is stopped.

    `running_for` is in seconds. It is None if the container does not run, or if it has run for so long that the list
    no longer gives seconds. `process_started_at` is the last start of its process, `finished_at` the end of one that
    does not run, and `restarts` counts the automatic restarts by the engine. `mounts` are the paths of its volumes.
    Only `inspect` fills these four. `health` is None without a probe. `host` is the name of its host in a cluster of
    several, else empty.
    """

    id: str
    name: str
    state: str
    image: str
    labels: Mapping[str, str]
    address: str
    created_at: datetime
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    running_for: int | None = None
    process_started_at: datetime | None = None
    finished_at: datetime | None = None
    restarts: int = 0
    mounts: tuple[str, ...] = ()
    health: ContainerHealth | None = None
    host: str = ""

    @property
    def ran_out_of_memory(self) -> bool:
        """True if its own process was killed for its memory limit. `oom_killed` alone may mean a child of it."""
        return ran_out_of_memory(self.oom_killed, self.exit_code)

    @property
    def is_running(self) -> bool:
        """True while it can answer requests or the engine will restart it."""
        return self.state in ("running", "restarting", "paused")


@dataclass(frozen=True)
class PublishedPort:
    """A port of the host that leads to a port of the container. `address` is the host's address that it binds.

    The engine chooses a `port` of 0. `protocol`: tcp or udp.
    """

    container_port: int
    address: str
    port: int
    protocol: str = "tcp"


class LogLimit(NamedTuple):
    """The limit of a container's log: bytes of one file, and the number of files."""

    size: int
    files: int


@dataclass(frozen=True)
class Privileges:
    """The privileges of a container's processes. Without any value, they are the engine's defaults.

    Capabilities are named without `CAP_`, and `ALL` is all of them. `cap_drop` is removed from the engine's default
    capabilities, then `cap_add` is added. With `ALL` in `cap_add`, a container has all but those in `cap_drop`.
    """

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """The specification of a container. `memory` is in bytes, `cpus` in cores, `pids` counts processes and threads.

    None sets no limit. An `entrypoint` of None is the image's, and an empty one is none. `init` runs a small init as
    process 1, which ends orphans. `shm_size` is the size of /dev/shm in bytes.

    The engine checks its health by `probe`. Without one it does not, whatever the image says. `aliases` are its host
    names in its network. `low_priority` lowers its share of a busy processor and forbids swap. `labels` replace those
    of the `options`. The `log` limit counts for log drivers that have one, unless the options of the driver set it.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    log: LogLimit | None = None
    pids: int | None = None
    init: bool = False
    shm_size: int | None = None
    network: str = "bridge"
    address: str | None = None
    aliases: tuple[str, ...] = ()
    published: tuple[PublishedPort, ...] = ()
    privileges: Privileges = Privileges()
    probe: HealthProbe | None = None
    low_priority: bool = False
    options: ContainerOptions = field(default_factory=ContainerOptions)
