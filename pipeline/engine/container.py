"""Containers in the form that all engines share, and the specification of a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Container:
    """A container as reported by its engine. `address` is its address in its network, also while it is stopped.

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
        """True while it can answer requests or the engine will restart it."""
        return self.state in ("running", "restarting", "paused")


@dataclass(frozen=True)
class PublishedPort:
    """A port of the host that leads to a port of the container. `address` is the host's address that it binds."""

    container_port: int
    address: str
    port: int


@dataclass(frozen=True)
class ContainerSpec:
    """The specification of a container. `memory` is in bytes, `cpus` in cores. None sets no limit.

    `aliases` are its host names in its network. `drop_capabilities` drops its capabilities. `low_priority` lowers its
    share of a busy processor and forbids swap.
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
