"""A pipeline's own bridge network, whose addresses we choose, so that a container keeps its one through restarts; and
the private ones of its tests."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.faults import ignore_not_found, translate_errors
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST

_ATTEMPTS = 5


class Networks:
    """The networks that carry the label of `home`: one for each pipeline, and one for tests that have services."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home
        self._known: dict[str, IPv4Network] = {}

    def name(self, pipeline: str) -> str:
        """The pipeline's own bridge network."""
        return f"penstock-{self._home[:6]}-{pipeline}"

    def ensure(self, pipeline: str, *, again: bool = False) -> IPv4Network:
        """Make the pipeline's network where it is missing; its addresses. Looked at once, or `again`."""
        if pipeline in self._known and not again:
            return self._known[pipeline]
        name = self.name(pipeline)
        with translate_errors():
            subnet = self._subnet(name) or self._create(name, pipeline)
        self._known[pipeline] = subnet
        return subnet

    def remove(self, pipeline: str) -> None:
        """Remove the pipeline's network."""
        self._known.pop(pipeline, None)
        with translate_errors(), ignore_not_found():
            self._api.remove_network(self.name(pipeline))

    def addresses(self, pipeline: str) -> set[IPv4Address]:
        """The addresses that somebody has in the pipeline's network, ours or not."""
        with translate_errors():
            endpoints = self._api.inspect_network(self.name(pipeline))["Containers"].values()
        return {IPv4Address(e["IPv4Address"].partition("/")[0]) for e in endpoints if e["IPv4Address"]}

    def free_address(self, pipeline: str, taken: Collection[IPv4Address]) -> IPv4Address:
        """An address of the pipeline's network that neither `taken` nor anybody in it has, and nobody has had lately.

        Docker would give the lowest free one: that of a container that has just left, or of one that is to come back.
        """
        subnet = self.ensure(pipeline)
        used = {*taken, *self.addresses(pipeline)}
        first, last = int(subnet.network_address) + 2, int(subnet.broadcast_address) - 1
        start = max((int(address) for address in used), default=first - 1) + 1
        for number in (*range(start, last + 1), *range(first, start)):
            if (address := IPv4Address(number)) not in used:
                return address
        raise EngineFault(f"no address is free in {subnet}, the network of {pipeline}")

    def create_private(self, pipeline: str, run: int) -> str:
        """Make a network for what one run tests; its name. Docker chooses the addresses in it."""
        name = f"{self.name(pipeline)}.test{run}.{randomness.token_hex(3)}"
        labels = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline, LABEL_ROLE: ROLE_TEST, LABEL_RUN: str(run)}
        with translate_errors():
            self._api.create_network(name, driver="bridge", labels=labels)
        return name

    def private(self, pipeline: str) -> dict[str, Mapping[str, str]]:
        """The labels of each network that was made for a pipeline's tests, by its id."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={ROLE_TEST}"]
        with translate_errors():
            return {row["Id"]: row["Labels"] for row in self._api.networks(filters={"label": labels})}

    def remove_private(self, network: str) -> None:
        """Remove a network that was made for tests, by its name or id, once its containers are gone."""
        with translate_errors(), ignore_not_found():
            self._api.remove_network(network)

    def _subnet(self, name: str) -> IPv4Network | None:
        found = [n for n in self._api.networks(names=[name]) if n["Name"] == name]
        return IPv4Network(_ipam(found[0])["Subnet"]) if found else None

    def _create(self, name: str, pipeline: str) -> IPv4Network:
        """Make a network whose addresses we may choose, which Docker allows only where the subnet was chosen too.

        So Docker picks one that is free, and the network is made again with just that one. Between the two somebody
        else may take it: then it picks another.
        """
        import docker.errors
        from docker.types import IPAMConfig, IPAMPool

        labels = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline}
        for left in self._api.networks(names=[f"{name}-draft"]):
            self._api.remove_network(left["Id"])
        for attempt in range(_ATTEMPTS):
            draft = self._api.create_network(f"{name}-draft", driver="bridge", labels=labels)["Id"]
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


def _ipam(network: Mapping[str, Any]) -> dict[str, str]:
    pools = network["IPAM"]["Config"] or []
    found = next((pool for pool in pools if ip_network(pool["Subnet"]).version == 4), None)
    if found is None:
        raise EngineFault(f"Docker gave network {network['Name']} no IPv4 addresses")
    return dict(found)
