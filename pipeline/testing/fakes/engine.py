"""A container engine in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Self

from pipeline.base.errors import EngineFault
from pipeline.engine.container import ContainerSpec
from pipeline.engine.interfaces import EngineDescription
from pipeline.testing.fakes.builder import FakeBuilder
from pipeline.testing.fakes.containers import FakeContainers, ProcessListener
from pipeline.testing.fakes.faults import Faults
from pipeline.testing.fakes.images import FakeImages
from pipeline.testing.fakes.networks import SUBNETS, FakeNetworks
from pipeline.testing.fakes.program import Program


class FakeConnection:
    """A separate connection to a fake engine."""

    def __init__(self, images: FakeImages, faults: Faults) -> None:
        self._faults = faults.of_connection()
        self.images = images.over(self._faults)

    def close(self) -> None:
        """Let every call of this connection fail, those that hang included."""
        self._faults.go_away()


class FakeEngine:
    """An engine whose containers, images and networks are in memory.

    `program` returns the program of each container; by default one that runs until stopped. `faults` makes calls
    fail, hang or lose their response. They are named `containers.start`, `builder.build` and so on. `now` returns the
    time. Networks have their addresses from `subnets`. `on_change` hears of each process: see `FakeContainers`.
    """

    platform = "linux/amd64"
    cpus = 8
    is_on_this_machine = False
    swarm_limits_privileges = True
    log_drivers = frozenset({"json-file", "local", "none", "syslog"})

    def __init__(
        self,
        home: str = "0123456789abcdef",
        *,
        program: Callable[[ContainerSpec], Program] = lambda _: Program(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        subnets: IPv4Network = SUBNETS,
        on_change: ProcessListener = lambda _, __: None,
    ) -> None:
        self._now = now
        self.faults = Faults()
        self.images = FakeImages(self.faults, home=home, in_use=self._uses)
        self.builder = FakeBuilder(self.images, self.faults)
        self.networks = FakeNetworks(self.faults, home=home, attached=self._attached, subnets=subnets)
        self.containers = FakeContainers(
            self.faults, self.images, self.networks, home=home, program=program, now=now, on_change=on_change
        )

    def answers(self) -> bool:
        """Return False between `kill_daemon` and `start_daemon`."""
        try:
            with self.faults.call("answers"):
                return True
        except EngineFault:
            return False

    def describe(self) -> EngineDescription:
        """Return the description of an engine that stores nothing."""
        with self.faults.call("describe"):
            return EngineDescription(
                f"engine-{id(self)}",
                "28.0.0",
                "1.48",
                self.platform,
                "overlay2",
                has_own_ids=True,
                folder="/var/lib/docker",
                clock=self._now(),
            )

    @contextmanager
    def cancellable(self) -> Iterator[FakeConnection]:
        """Open a separate connection."""
        with self.faults.call("cancellable"):
            connection = FakeConnection(self.images, self.faults)
        try:
            yield connection
        finally:
            connection.close()

    def kill_daemon(self) -> None:
        """End the engine and every process that it runs. Calls fail, those that hang included."""
        self.faults.go_away()
        self.containers.lose_all()

    def start_daemon(self) -> None:
        """Start the engine again, with the containers that their restart policies bring back."""
        self.containers.boot()
        self.faults.come_back()

    def close(self) -> None:
        """Do nothing: there is no connection to close."""

    def _uses(self, image: str) -> bool:
        return self.containers.uses(image)

    def _attached(self, network: str) -> bool:
        return self.containers.attached(network)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
