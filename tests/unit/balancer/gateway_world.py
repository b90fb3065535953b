"""A gateway keeper with a path in memory, HAProxy's servers as a test sets them, and declared endpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pipeline.balancer.agent.flow_fact import FlowFact
from pipeline.balancer.agent.servers import Server, Servers
from pipeline.balancer.attachments.attachments import Attached
from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.gateway.appliance_route import Unreachable
from pipeline.balancer.gateway.config_gateway import appliance_group, wanted_gateway
from pipeline.balancer.gateway.flow_tally import FlowTally
from pipeline.balancer.gateway.gateway_keeper import GatewayKeeper
from pipeline.balancer.gateway.gateway_state import GatewayTarget
from pipeline.balancer.gateway.geneve import Encapsulated
from pipeline.balancer.gateway.wanted_gateway import GatewayFile
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from pipeline.testing.fakes.packet_path import FakePath
from tests.support.inner_packets import tcp

OWNER, GROUP = "security", "security.firewalls"
CLIENTS, SERVERS = "198.18.0.0/24", "198.18.1.0/24"
CLIENT, SERVER = "198.18.0.5", "198.18.1.10"
# That of the loopback device, which exists on every machine.
_DEVICE = 1
REBALANCE = {"target_failover.on_deregistration": "rebalance", "target_failover.on_unhealthy": "rebalance"}


class GatewayWorld:
    """An endpoint in each of `zones`, or one without a zone. Its networks are attachments 1 and 2, then 3 and 4."""

    def __init__(
        self,
        directory: Path,
        *,
        attributes: Mapping[str, Any] | None = None,
        zones: tuple[str, ...] = (),
        cross_zone: bool = False,
    ) -> None:
        self.directory = directory
        self.path = FakePath()
        self.servers: dict[str, Server] | None = {}
        self.unreachable = set[str]()
        self._empty = set[str]()
        self._zones = dict[str, str | None]()
        self._endpoints = zones or (None,)
        self._load_balancer = "inspection"
        self._declared: dict[str, dict[str, Any]] = {
            "target_groups": {"firewalls": {"protocol": "GENEVE", "attributes": attributes or {}}},
            "load_balancers": {
                "inspection": {
                    "type": "gateway",
                    **({"zones": list(zones)} if zones else {}),
                    "attributes": {"load_balancing.cross_zone.enabled": cross_zone},
                    "listeners": [{"default_action": {"forward": "firewalls"}}],
                }
            },
        }
        self.apply()
        self.keeper = self.opened()

    def opened(self) -> GatewayKeeper:
        """Return another keeper of the same directory and path, as another agent has one."""
        tally = FlowTally(lambda: self.path.now, lambda: 0.0)
        return GatewayKeeper(self.directory, lambda: self.path, self._route, self._read, tally)

    def apply(self, attributes: Mapping[str, Any] | None = None) -> None:
        """Write what is declared, as the plane does. `attributes`: other ones of the target group."""
        if attributes is not None:
            self._declared["target_groups"]["firewalls"]["attributes"] = attributes
        config = self.config()
        attached = [
            Attached(endpoint, network, _DEVICE, 2 * number + side)
            for number, endpoint in enumerate(config.endpoints)
            for side, network in enumerate(endpoint.networks, 1)
        ]
        GatewayFile(self.directory).write(wanted_gateway(config, attached))

    def move_endpoints(self, *, has_appliances: bool = True) -> None:
        """Let the endpoints lead to the load balancer `other`, whose group is `others`. It has the same appliances."""
        groups, balancers = self._declared["target_groups"], self._declared["load_balancers"]
        groups["others"] = {"protocol": "GENEVE"}
        balancers["other"] = {"type": "gateway", "listeners": [{"default_action": {"forward": "others"}}]}
        self._load_balancer = "other"
        self.apply()
        if not has_appliances:
            self._empty = set(GatewayFile(self.directory).read().groups["security.others"].backends)
        self.keeper.sync()

    def config(self) -> PlaneConfig:
        """Return the wanted state of the plane."""
        registry = Registry().declare(OWNER, Declaration.model_validate(self._declared))
        for name, zone in self._zones.items():
            target = Target(id=name, address=_address(name), port=6081, zone=zone)
            registry = registry.register(OWNER, "firewalls", [target])
        networks = (
            WantedNetwork("clients", "namespace", "clients", (CLIENTS, "fd98::/64")),
            WantedNetwork("servers", "namespace", "servers", (SERVERS, "fd98:1::/64")),
        )
        endpoints = tuple(
            WantedEndpoint(
                f"vpce-{number:017x}", OWNER, f"office-{number}", zone, (OWNER, self._load_balancer), networks
            )
            for number, zone in enumerate(self._endpoints, 1)
        )
        return replace(plane_config(registry), endpoints=endpoints)

    # Appliances

    def register(self, *names: str, zone: str | None = None) -> None:
        """Register healthy appliances."""
        assert self.servers is not None
        for name in names:
            self._zones[name] = zone
            self.servers[name] = Server(name, f"{_address(name)}:6081", is_open=True, is_up=True)
        self._follow()

    def change(self, name: str, *, is_open: bool = True, is_up: bool = True) -> None:
        """Set the state of an appliance in HAProxy."""
        assert self.servers is not None
        self.servers[name] = self.servers[name]._replace(is_open=is_open, is_up=is_up)
        self.keeper.sync()

    def deregister(self, name: str) -> None:
        """Let an appliance leave. HAProxy checks it no more, and its group still lists it."""
        self.change(name, is_open=False, is_up=False)

    def remove(self, name: str) -> None:
        """Remove an appliance from its group and from HAProxy."""
        assert self.servers is not None
        del self.servers[name], self._zones[name]
        self._follow()

    def _follow(self) -> None:
        file = GatewayFile(self.directory)
        file.write(file.read().with_group(GROUP, appliance_group(self.config().groups[GROUP])))
        self.keeper.sync()

    # Packets

    def flow(self, port: int, attachment: int = 1, packet: bytes = b"") -> str:
        """Send a packet of a flow, the reply, and return the appliance that both passed. Raises `Dropped`."""
        packet = packet or tcp(CLIENT, SERVER, (port, 443))
        target, payload = self.path.send(attachment, packet)
        assert self.path.give_back(target.address, payload) == (_other_side(attachment), packet)
        found = Encapsulated.decoded(payload)
        back, answer = self.path.send(_other_side(attachment), tcp(SERVER, CLIENT, (443, port), 0x12))
        assert (back, Encapsulated.decoded(answer).cookie) == (target, found.cookie)
        return _name(target)

    def flows(self, ports: Collection[int], attachment: int = 1) -> dict[int, str]:
        """Return the appliance of a flow from each of these ports."""
        return {port: self.flow(port, attachment) for port in ports}

    def again(self, port: int, attachment: int = 1) -> str:
        """Send another packet of a flow, and return its appliance. Raises `Dropped`."""
        target, _ = self.path.send(attachment, tcp(CLIENT, SERVER, (port, 443), 0x10))
        return _name(target)

    def facts(self) -> Mapping[str, FlowFact]:
        """Return what the keeper reports of the appliances."""
        return self.keeper.facts().get(GROUP, {})

    def _read(self, backends: Collection[str], _used: Collection[str]) -> Servers | None:
        if self.servers is None:
            return None
        return {each: () if each in self._empty else tuple(self.servers.values()) for each in backends}

    def _route(self, address: IPv4Address) -> GatewayTarget:
        if str(address) in self.unreachable:
            raise Unreachable(f"this machine has no route to {address}")
        return GatewayTarget(address, IPv4Address("10.81.0.1"), _DEVICE)


def _address(name: str) -> str:
    return f"10.81.0.{10 + int(name.rpartition('-')[2])}"


def _name(target: GatewayTarget) -> str:
    return f"fw-{int(target.address) - int(IPv4Address('10.81.0.10'))}"


def _other_side(attachment: int) -> int:
    return attachment + 1 if attachment % 2 else attachment - 1
