"""Networks in memory, whose addresses are given in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from pipeline.base.errors import EngineFault
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST
from pipeline.testing.fakes.faults import Faults

SUBNETS = IPv4Network("10.99.0.0/16")


class FakeNetworks:
    """The networks of a fake engine, each a part of `subnets` with 256 addresses.

    `attached` returns whether a running container is in one.
    """

    def __init__(
        self, faults: Faults, *, home: str, attached: Callable[[str], bool], subnets: IPv4Network = SUBNETS
    ) -> None:
        self._faults = faults
        self._home = home
        self._attached = attached
        self._lock = threading.Lock()
        self._first = subnets.network_address
        self._subnets: dict[str, IPv4Network] = {}
        self._free: dict[str, Iterator[IPv4Address]] = {}
        self._private: dict[str, Mapping[str, str]] = {}
        self._made: dict[str, int] = {}
        self._identities = count(1)
        self._numbers = count(1)
        self._distances = count(2)

    def name(self, pipeline: str) -> str:
        """Return the name of the pipeline's network."""
        return f"penstock-{self._home[:6]}-{pipeline}"

    def ensure(self, pipeline: str, *, again: bool = False) -> IPv4Network:
        """Create the pipeline's network if it is missing and return its addresses."""
        with self._faults.call("networks.ensure"), self._lock:
            return self._create(self.name(pipeline))

    def remove(self, pipeline: str) -> None:
        """Remove the pipeline's network. Raises `EngineFault` while a running container is in it."""
        with self._faults.call("networks.remove"):
            self._remove(self.name(pipeline))

    def free_address(self, pipeline: str) -> IPv4Address:
        """Return the next address of the pipeline's network, each only once."""
        with self._faults.call("networks.free_address"), self._lock:
            self._create(self.name(pipeline))
            return next(self._free[self.name(pipeline)])

    def has(self, network: str) -> bool:
        """Return whether there is a network of that name."""
        with self._faults.call("networks.has"), self._lock:
            return network in self._subnets

    def identity(self, network: str) -> int | None:
        """Return the number of a network, which no later one of the same name has. None if it does not exist."""
        with self._lock:
            return self._made.get(network)

    def add(self, network: str) -> None:
        """Create a network, as another program would."""
        with self._lock:
            self._create(network)

    def distant_address(self, pipeline: str) -> IPv4Address:
        """Return an address of the pipeline's network, from its end, each only once."""
        with self._faults.call("networks.distant_address"), self._lock:
            subnet = self._create(self.name(pipeline))
            return subnet.broadcast_address - next(self._distances)

    def create_private(self, pipeline: str, run: int) -> str:
        """Create a network for the tests of one run and return its name."""
        with self._faults.call("networks.create_private"), self._lock:
            name = f"{self.name(pipeline)}.test{run}.{next(self._numbers):06x}"
            self._create(name)
            self._private[name] = {
                LABEL_HOME: self._home,
                LABEL_PIPELINE: pipeline,
                LABEL_ROLE: ROLE_TEST,
                LABEL_RUN: str(run),
            }
            return name

    def private(self, pipeline: str) -> dict[str, Mapping[str, str]]:
        """Return the labels of each network that was created for a pipeline's tests."""
        with self._faults.call("networks.private"), self._lock:
            return {name: labels for name, labels in self._private.items() if labels[LABEL_PIPELINE] == pipeline}

    def remove_private(self, network: str) -> None:
        """Remove a network that was created for tests."""
        with self._faults.call("networks.remove_private"):
            self._remove(network)

    def assign(self, network: str) -> str:
        """Return an address for a container that asks for none in particular."""
        with self._lock:
            self._create(network)
            return str(next(self._free[network]))

    def _create(self, name: str) -> IPv4Network:
        if name not in self._subnets:
            self._subnets[name] = IPv4Network((self._first + 256 * len(self._free), 24))
            self._free[name] = self._subnets[name].hosts()
            self._made[name] = next(self._identities)
            # The engine takes the first address itself.
            next(self._free[name])
        return self._subnets[name]

    def _remove(self, name: str) -> None:
        if self._attached(name):
            raise EngineFault(f"network {name} has active endpoints")
        with self._lock:
            self._subnets.pop(name, None)
            self._made.pop(name, None)
            self._private.pop(name, None)
