"""Health checks of the appliances of a gateway load balancer by a real HAProxy, which carries none of the packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.bench import OWNER

GROUP = "firewalls"
ADDRESSES = {"fw-1": "127.0.0.2", "fw-2": "127.0.0.3"}
_CHECK = {"interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 2}


class Appliances:
    """A gateway load balancer, and the ports of TCP at which its appliances are checked."""

    def __init__(self, directory: Path) -> None:
        self.balancer: Balancer = open_balancer(directory)
        self.port = free_port()
        self._open: dict[str, socket.socket] = {}

    def declare(self, zones: list[str] | None = None, **check: Any) -> None:
        gateway: dict[str, Any] = {"type": "gateway", "listeners": [{"default_action": {"forward": GROUP}}]}
        if zones:
            gateway["zones"] = zones
        group = {"protocol": "GENEVE", "health_check": {**_CHECK, "port": self.port, **check}}
        declared = {"target_groups": {GROUP: group}, "load_balancers": {"inspection": gateway}}
        self.balancer.apply(OWNER, Declaration.model_validate(declared))

    def register(self, **zones: str | None) -> None:
        for name, zone in zones.items():
            target = Target(id=name.replace("_", "-"), address=ADDRESSES[name.replace("_", "-")], port=6081, zone=zone)
            self.balancer.register(OWNER, GROUP, target)

    def listen(self, name: str) -> None:
        self._open[name] = socket.create_server((ADDRESSES[name], self.port))

    def end(self, name: str) -> None:
        self._open.pop(name).close()

    def states(self) -> dict[str, TargetState]:
        self.balancer.reconcile(OWNER, GROUP)
        return {one.target.id: one.state for one in self.balancer.target_health(OWNER, GROUP)}

    def await_states(self, *states: TargetState) -> None:
        wanted = dict(zip(ADDRESSES, states, strict=False))
        until(lambda: self.states() == wanted, f"the states are {wanted}")

    def close(self) -> None:
        for each in self._open.values():
            each.close()
        self.balancer.withdraw(OWNER)


@pytest.fixture
def appliances(tmp_path: Path) -> Iterator[Appliances]:
    found = Appliances(tmp_path / "balancer")
    try:
        yield found
    finally:
        found.close()


def test_appliances_are_checked_at_their_own_port(appliances: Appliances) -> None:
    """An appliance becomes healthy and unhealthy with the port of TCP, although packets go to port 6081 of UDP."""
    appliances.listen("fw-1")
    appliances.declare()
    appliances.register(fw_1=None, fw_2=None)
    appliances.await_states(TargetState.HEALTHY, TargetState.INITIAL)
    appliances.listen("fw-2")
    appliances.await_states(TargetState.HEALTHY, TargetState.HEALTHY)
    appliances.end("fw-1")
    appliances.await_states(TargetState.UNHEALTHY, TargetState.HEALTHY)
    appliances.balancer.deregister(OWNER, GROUP, "fw-1")
    appliances.await_states(TargetState.DRAINING, TargetState.HEALTHY)
    appliances.balancer.remove_target(OWNER, GROUP, "fw-1")
    assert Runtime(appliances.balancer.directory).servers(f"{OWNER}.{GROUP}").keys() == {"fw-2", "fw-2:open"}


def test_the_checks_of_a_zone(appliances: Appliances) -> None:
    """Each zone has a pool of its own. A target in a zone that is not enabled is unused."""
    appliances.listen("fw-1")
    appliances.listen("fw-2")
    appliances.declare(["zone-a"])
    appliances.register(fw_1="zone-a", fw_2="zone-b")
    appliances.await_states(TargetState.HEALTHY, TargetState.UNUSED)
    appliances.declare(["zone-a", "zone-b"])
    appliances.await_states(TargetState.HEALTHY, TargetState.HEALTHY)


def test_haproxy_has_no_listener_for_a_gateway(appliances: Appliances) -> None:
    """Its only frontends are those that it has for itself."""
    appliances.declare()
    shown = Runtime(appliances.balancer.directory).ask_worker("show stat")
    assert not [line for line in shown.splitlines() if ",FRONTEND," in line and line.startswith(OWNER)]
