"""Options of a container that most containers do without. The defaults leave each one to the engine and the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

UNREADABLE_DRIVER = "none"
"""The log driver that keeps nothing."""
_KEEPING_DRIVERS = ("json-file", "local", "journald")
# What the other drivers send away is copied, unless this option is set.
CACHE_DISABLED = "cache-disabled"
"""The option with which the engine keeps no copy of what another log driver sends away."""


class Ulimit(NamedTuple):
    """A resource limit of each process. -1 is unlimited. A process may raise its own `soft` limit up to `hard`."""

    soft: int
    hard: int


@dataclass(frozen=True)
class LogDriver:
    """Where the engine sends the output. A driver of None is the engine's default one."""

    name: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """False if the engine keeps nothing that it can give back."""
        if self.name in _KEEPING_DRIVERS:
            return True
        return self.name != UNREADABLE_DRIVER and self.options.get(CACHE_DISABLED) != "true"


@dataclass(frozen=True)
class DeviceRequest:
    """A request for devices such as GPUs. `count` of -1 is all. With `device_ids`, `count` is 0."""

    driver: str = ""
    count: int = 0
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ("gpu",)
    options: Mapping[str, str] = field(default_factory=dict)


class DeviceMapping(NamedTuple):
    """A device of the engine's machine. `permissions` are of r, w and m: to read, to write and to make the device."""

    host: str
    container: str
    permissions: str


@dataclass(frozen=True)
class ContainerOptions:
    """The options of a container.

    `tmpfs` has the mount options of each path, and `networks` the aliases in each network that the container joins
    besides its own. `extra_hosts` are `HOST:ADDRESS`. `labels` do not replace those of the engine's user.
    """

    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    read_only: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    log_driver: LogDriver | None = None
    device_requests: tuple[DeviceRequest, ...] = ()
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[DeviceMapping, ...] = ()

    def of_command(self) -> ContainerOptions:
        """Return the options of a command that runs beside the service.

        Other programs find the service by labels and aliases, and its output has another reader.
        """
        return ContainerOptions(
            user=self.user,
            working_dir=self.working_dir,
            stop_signal=self.stop_signal,
            read_only=self.read_only,
            tmpfs=self.tmpfs,
            ulimits=self.ulimits,
            extra_hosts=self.extra_hosts,
            device_requests=self.device_requests,
            networks=dict.fromkeys(self.networks, ()),
            devices=self.devices,
        )
