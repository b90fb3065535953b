"""A gateway load balancer on the machine in the middle of a lab, with an endpoint between its clients and servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.gateway.process import gateway_agent
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.gateway_lab import CLIENT_NETWORKS, SERVER_NETWORKS, GatewayLab, LabAppliance
from tests.support.geneve_packets import PORT
from tests.support.waiting import until

OWNER, GROUP, NAME = "security", "firewalls", "inspection"
# Patient: an appliance that is slow on a busy machine stays healthy, and one that is killed refuses at once.
_CHECK = {"protocol": "HTTP", "interval": "1s", "timeout": "950ms", "healthy_threshold": 1, "unhealthy_threshold": 3}


class GatewayBalancer:
    """The balancer. Its processes run on the machine of the lab."""

    def __init__(self, lab: GatewayLab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self._balancer = open_balancer(directory)

    @contextmanager
    def opened(self) -> Iterator[Balancer]:
        """Yield the balancer. Within the block, this thread is on its machine."""
        with self.lab.machine.entered():
            yield self._balancer

    def declare(self, *, attributes: Mapping[str, Any] | None = None, group: Mapping[str, Any] | None = None) -> None:
        """Declare the load balancer with its endpoint. `attributes`: those of the target group. `group`: more keys."""
        self.apply(self.declared(attributes=attributes, group=group))

    def declared(
        self, *, attributes: Mapping[str, Any] | None = None, group: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what `declare` declares."""
        settings = {"protocol": "GENEVE", "health_check": _CHECK, "attributes": attributes or {}, **(group or {})}
        networks = {
            "clients": {"namespace": _path(self.lab.clients.pid), "addresses": CLIENT_NETWORKS},
            "servers": {"namespace": _path(self.lab.servers.pid), "addresses": SERVER_NETWORKS},
        }
        return {
            "target_groups": {GROUP: settings},
            "load_balancers": {NAME: {"type": "gateway", "listeners": [{"default_action": {"forward": GROUP}}]}},
            "endpoint_services": {NAME: {"load_balancers": [NAME], "acceptance_required": False}},
            "endpoints": {"office": {"service": NAME, "networks": networks}},
        }

    def apply(self, declared: Mapping[str, Any]) -> None:
        """Declare this."""
        declaration = Declaration.model_validate(declared)
        with self.opened() as balancer:
            balancer.check(OWNER, declaration)
            balancer.apply(OWNER, declaration)

    def register(self, *appliances: LabAppliance, group: str = GROUP) -> None:
        """Register appliances, and wait until they are healthy."""
        with self.opened() as balancer:
            targets = [Target(id=each.name, address=each.address, port=PORT) for each in appliances]
            balancer.register(OWNER, group, *targets)
        self.await_states(group, **dict.fromkeys((each.name for each in appliances), TargetState.HEALTHY))

    def deregister(self, appliance: LabAppliance) -> None:
        """Deregister an appliance. It keeps its flows."""
        with self.opened() as balancer:
            balancer.deregister(OWNER, GROUP, appliance.name)

    def remove(self, appliance: LabAppliance) -> None:
        """End the flows of a deregistered appliance, and remove it."""
        with self.opened() as balancer:
            balancer.abort_connections(OWNER, GROUP, appliance.name)
            balancer.remove_target(OWNER, GROUP, appliance.name)

    def health(self, group: str = GROUP) -> Mapping[str, TargetHealth]:
        """Return the health of the appliances, after a reconciliation."""
        with self.opened() as balancer:
            return {each.target.id: each for each in balancer.reconciled_health(OWNER, group)}

    def await_states(self, group: str = GROUP, /, **states: TargetState) -> None:
        """Wait until appliances have these states."""
        until(
            lambda: {name: each.state for name, each in self.health(group).items()}.items() >= states.items(),
            f"the states are {states}",
        )

    def agent(self) -> int:
        """Return the process that keeps the path of the packets."""
        found = gateway_agent(self.directory).running()
        assert found is not None
        return found

    def processes(self) -> tuple[int, int]:
        """Return HAProxy's process and the agent's."""
        with self.opened() as balancer:
            haproxy = balancer.pid()
        assert haproxy is not None
        return haproxy, self.agent()

    def end(self) -> None:
        """Withdraw everything."""
        with self.opened() as balancer:
            balancer.withdraw(OWNER)


@contextmanager
def gateway_balancer(lab: GatewayLab, directory: Path) -> Iterator[GatewayBalancer]:
    """Yield the load balancer of a lab, declared and with its appliances. At the end, everything is withdrawn."""
    balancer = GatewayBalancer(lab, directory)
    try:
        balancer.declare()
        balancer.register(*lab.appliances)
        yield balancer
    finally:
        balancer.end()


def _path(pid: int) -> str:
    return f"/proc/{pid}/ns/net"
