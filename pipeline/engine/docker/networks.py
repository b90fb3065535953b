"""The bridge networks of pipelines and of their tests.

Penstock chooses the addresses in a pipeline's network, so a container keeps its address over restarts.
"""

from __future__ import annotations

import random
import secrets as randomness
import threading
from collections import deque
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import chain
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.faults import ignore_not_found, translate_errors
from pipeline.engine.docker.translation import address_in
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST

_ATTEMPTS = 5
# More than the number of concurrent starts, so no two of them get the same address.
_REMEMBERED = 64
# A rollout takes the next addresses, up to sixteen at a time. Others do not take one that a rollout is about to.
_NEAREST, _FARTHEST = 32, 160


class DockerNetworks:
    """The networks that carry the label of `home`: one for each pipeline, and one for each test that has services."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home
        self._known: dict[str, IPv4Network] = {}
        self._chosen: dict[str, deque[IPv4Address]] = {}
        self._lock = threading.Lock()

    def name(self, pipeline: str) -> str:
        """Return the name of the pipeline's network."""
        return f"penstock-{self._home[:6]}-{pipeline}"

    def ensure(self, pipeline: str, *, again: bool = False) -> IPv4Network:
        """Create the pipeline's network if it is missing and return its addresses. Cached, unless `again`."""
        if pipeline in self._known and not again:
            return self._known[pipeline]
        name = self.name(pipeline)
        with translate_errors(self._api):
            subnet = self._subnet(name) or self._create(name, pipeline)
        self._known[pipeline] = subnet
        return subnet

    def remove(self, pipeline: str) -> None:
        """Remove the pipeline's network."""
        self._known.pop(pipeline, None)
        with translate_errors(self._api), ignore_not_found():
            self._api.remove_network(self.name(pipeline))

    def addresses(self, pipeline: str) -> set[IPv4Address]:
        """Return the addresses in use in the pipeline's network, also by other programs.

        A stopped container of the home keeps its address, which Docker does not show in the network.
        """
        name = self.name(pipeline)
        with translate_errors(self._api):
            endpoints = self._api.inspect_network(name)["Containers"].values()
            rows = self._api.containers(all=True, filters={"label": [f"{LABEL_HOME}={self._home}"], "network": [name]})
        in_use = {*(e["IPv4Address"].partition("/")[0] for e in endpoints), *(address_in(row, name) for row in rows)}
        return {IPv4Address(address) for address in in_use if address}

    def free_address(self, pipeline: str) -> IPv4Address:
        """Choose an address of the pipeline's network that no container has, running or stopped.

        Docker would choose the lowest free address. It may belong to a container that was just removed, to which a
        worker of the balancer still has a connection, or to a stopped one that will be restarted. This chooses the next
        higher address, and repeats one only if no other is free.
        """
        subnet = self.ensure(pipeline)
        in_use = self.addresses(pipeline)
        with self._lock:
            chosen = self._chosen.setdefault(pipeline, deque(maxlen=_REMEMBERED))
            # The network may have been re-created with another range.
            used = {address for address in in_use.union(chosen) if address in subnet}
            address = next_free(subnet, used) or next((a for a in chosen if a in subnet and a not in in_use), None)
            if address is None:
                raise EngineFault(f"no free address in {subnet}, the network of {pipeline}")
            if address in chosen:
                chosen.remove(address)
            chosen.append(address)
        return address

    def has(self, network: str) -> bool:
        """Return whether Docker has a network of that name, of any program."""
        with translate_errors(self._api):
            return bool(self._named(network))

    def address_for_guest(self, network: str) -> str | None:
        """Return an address in the network of another pipeline of the home. None: Docker chooses one.

        Docker would choose that of a stopped container, which then could not be restarted.
        """
        with translate_errors(self._api):
            found = self._named(network)
        labels = (found[0]["Labels"] or {}) if found else {}
        is_of_pipeline = labels.get(LABEL_HOME) == self._home and LABEL_ROLE not in labels
        return str(self.free_address(labels[LABEL_PIPELINE])) if is_of_pipeline else None

    def distant_address(self, pipeline: str) -> IPv4Address:
        """Choose a free address that no rollout of another process is about to choose."""
        subnet = self.ensure(pipeline)
        return distant_address(subnet, self.addresses(pipeline))

    def create_private(self, pipeline: str, run: int) -> str:
        """Create a network for the tests of one run and return its name. Docker chooses the addresses in it."""
        name = f"{self.name(pipeline)}.test{run}.{randomness.token_hex(3)}"
        labels = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline, LABEL_ROLE: ROLE_TEST, LABEL_RUN: str(run)}
        with translate_errors(self._api):
            self._api.create_network(name, driver="bridge", labels=labels)
        return name

    def private(self, pipeline: str) -> dict[str, Mapping[str, str]]:
        """Return the labels of each network that was created for a pipeline's tests, by its id."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={ROLE_TEST}"]
        with translate_errors(self._api):
            return {row["Id"]: row["Labels"] for row in self._api.networks(filters={"label": labels})}

    def remove_private(self, network: str) -> None:
        """Remove a network that was created for tests, by its name or id. Its containers must be gone."""
        with translate_errors(self._api), ignore_not_found():
            self._api.remove_network(network)

    def _subnet(self, name: str) -> IPv4Network | None:
        found = self._named(name)
        return IPv4Network(_ipam(found[0])["Subnet"]) if found else None

    def _named(self, name: str) -> list[Mapping[str, Any]]:
        # Docker's filter finds every network whose name contains this one.
        return [network for network in self._api.networks(names=[name]) if network["Name"] == name]

    def _create(self, name: str, pipeline: str) -> IPv4Network:
        """Create a network with a chosen subnet, because only then Docker allows chosen addresses.

        Docker picks a free subnet for a draft network. The network is then created with that subnet. If another network
        takes it in between, this is repeated.
        """
        import docker.errors
        from docker.types import IPAMConfig, IPAMPool

        labels = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline}
        # No network of a pipeline has a dot in its name.
        draft_name = f"{name}.draft"
        for left in self._named(draft_name):
            with ignore_not_found():
                self._api.remove_network(left["Id"])
        for attempt in range(_ATTEMPTS):
            draft = self._api.create_network(draft_name, driver="bridge", labels=labels)["Id"]
            picked = _ipam(self._api.inspect_network(draft))
            self._api.remove_network(draft)
            try:
                self._api.create_network(
                    name,
                    driver="bridge",
                    labels=labels,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=picked["Subnet"], gateway=picked.get("Gateway"))]),
                )
            except docker.errors.APIError as error:
                if "overlaps" not in str(error.explanation) or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return IPv4Network(picked["Subnet"])
        raise AssertionError("the last attempt returns or raises")


def next_free(subnet: IPv4Network, used: Collection[IPv4Address]) -> IPv4Address | None:
    """Return the next address after the highest used one, from the start again after the last."""
    first, last = int(subnet.network_address) + 2, int(subnet.broadcast_address) - 1
    start = max((int(address) for address in used), default=first - 1) + 1
    numbers = chain(range(start, last + 1), range(first, start))
    return next((address for number in numbers if (address := IPv4Address(number)) not in used), None)


def distant_address(subnet: IPv4Network, used: set[IPv4Address]) -> IPv4Address:
    """Return a free address that is not among the next ones after the highest used one, if the network is so large."""
    taken = {address for address in used if address in subnet}
    distance = random.randrange(_NEAREST, _FARTHEST)  # noqa: S311  # no secret
    address = max(taken, default=subnet.network_address) + distance
    if address < subnet.broadcast_address:
        return address
    found = next_free(subnet, taken)
    if found is None:
        raise EngineFault(f"no free address in {subnet}")
    return found


def subnet_of(network: Mapping[str, Any]) -> str:
    """Return the subnet of a network as Docker describes it. Raises `EngineFault` if it has no IPv4 subnet."""
    return _ipam(network)["Subnet"]


def _ipam(network: Mapping[str, Any]) -> dict[str, str]:
    pools = network["IPAM"]["Config"] or []
    found = next((pool for pool in pools if ip_network(pool["Subnet"]).version == 4), None)
    if found is None:
        raise EngineFault(f"Docker assigned no IPv4 subnet to network {network['Name']}")
    return dict(found)
