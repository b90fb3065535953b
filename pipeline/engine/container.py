"""Containers as every engine shows them, and the specification that one is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Container:
    """A container as the engine shows it. `address` is its own in its network, also while it is stopped.

    `running_for` is in seconds. It is None if the container does not run, or if it has run for so long that the list
    no longer gives seconds. `process_started_at` is the last start of its process, and `restarts` counts the automatic
    restarts by the engine. Only `inspect` fills these two.
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
    restarts: int = 0

    @property
    def is_running(self) -> bool:
        """True while it can answer a request or will be restarted by the engine."""
        return self.state in ("running", "restarting", "paused")


@dataclass(frozen=True)
class PublishedPort:
    """A port of the host that leads to a port of the container. `address` is the host's address that it binds."""

    container_port: int
    address: str
    port: int


@dataclass(frozen=True)
class ContainerSpec:
    """All that a container is made from. `memory` is in bytes, `cpus` in cores; None sets no limit.

    `aliases` are the host names by which other containers in its network reach it. `drop_capabilities` drops its
    capabilities. `low_priority` lowers its share of a busy processor and forbids swap.
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
    pids: int | None = None
    network: str = "bridge"
    address: str | None = None
    aliases: tuple[str, ...] = ()
    published: PublishedPort | None = None
    drop_capabilities: bool = False
    low_priority: bool = False
