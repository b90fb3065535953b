"""The Docker Engine as one home sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Self

from pipeline.base.errors import EngineFault
from pipeline.engine.builder import ImageBuilder
from pipeline.engine.container_options import UNREADABLE_DRIVER
from pipeline.engine.docker.builders import choose_builder
from pipeline.engine.docker.connection import DockerConnection, connect
from pipeline.engine.docker.containers import DockerContainers
from pipeline.engine.docker.faults import TIMEOUT, translate_errors
from pipeline.engine.docker.images import DockerImages
from pipeline.engine.docker.networks import DockerNetworks
from pipeline.engine.docker.server import server_of
from pipeline.engine.interfaces import EngineDescription

# Sixteen containers may start or stop at the same time, while others are inspected.
_CONNECTIONS = 24
# The first version of the API in which services have it.
_SWARM_PRIVILEGES = (1, 44)


class DockerEngine:
    """The Docker Engine that `environment` names, limited to the objects of `home`.

    It uses the SDK's low-level client, which lists containers in one call. The SDK's objects need one call for each.
    `on_close` is called after the connections are closed, and may be called again. Docker may take `timeout` seconds
    for each response, and a stop its grace besides.
    """

    def __init__(
        self,
        home: str,
        environment: Mapping[str, str] = os.environ,
        *,
        on_close: Callable[[], None] = lambda: None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._on_close = on_close
        self._home = home
        self._environment = environment
        self._timeout = timeout
        self._api = connect(environment, pool=_CONNECTIONS, timeout=timeout)
        self.networks = DockerNetworks(self._api, home)
        self.containers = DockerContainers(self._api, home, self.networks)
        self.images = DockerImages(self._api, home)

    @property
    def platform(self) -> str:
        """The platform of the engine, such as `linux/amd64`."""
        server = server_of(self._api)
        return f"{server['Os']}/{server['Arch']}"

    @property
    def swarm_limits_privileges(self) -> bool:
        """Whether a Swarm applies `no_new_privileges`. Earlier versions ignore it."""
        major, _, minor = str(self._api.api_version).partition(".")
        return (int(major), int(minor)) >= _SWARM_PRIVILEGES

    @property
    def cpus(self) -> int:
        """The number of processors of Docker's machine."""
        with translate_errors(self._api):
            return int(self._api.info()["NCPU"])

    @property
    def log_drivers(self) -> frozenset[str]:
        """The names of Docker's log drivers and of the plug-ins for it."""
        with translate_errors(self._api):
            found = self._api.info().get("Plugins", {}).get("Log") or ()
        # Docker has it, but does not list it.
        return frozenset({*found, UNREADABLE_DRIVER})

    @property
    def is_on_this_machine(self) -> bool:
        """Whether Docker listens on a Unix socket."""
        return str(self._api.address).startswith("unix://")

    @cached_property
    def builder(self) -> ImageBuilder:
        """The builder of images, chosen at the first use."""
        return choose_builder(self._api, self._environment, self._home, self.images, self.cancellable)

    def cancellable(self) -> DockerConnection:
        """Open a separate connection, which another thread may close."""
        return DockerConnection(self._environment, self._api.api_version, self._home, self._timeout)

    def answers(self) -> bool:
        """Return whether Docker responds."""
        try:
            with translate_errors(self._api):
                return bool(self._api.ping())
        except EngineFault:
            return False

    def describe(self) -> EngineDescription:
        """Ask Docker for its description."""
        with translate_errors(self._api):
            found = self._api.info()
        status = [str(value) for pair in found.get("DriverStatus") or () for value in pair]
        return EngineDescription(
            id=str(found["ID"]),
            version=str(found.get("ServerVersion", "unknown")),
            api=str(self._api.api_version),
            platform=self.platform,
            storage_driver=str(found.get("Driver", "unknown")),
            has_own_ids=not any("io.containerd.snapshotter" in value for value in status),
            folder=str(found.get("DockerRootDir", "/var/lib/docker")),
            clock=datetime.fromisoformat(found["SystemTime"]),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._on_close()
