"""The order of the commands that change a target's servers. `repetition` relies on it."""

from __future__ import annotations

import re

import pytest

from pipeline.balancer.data_plane import WantedGroup, WantedTarget
from pipeline.balancer.haproxy.servers import steps_to
from pipeline.balancer.haproxy.statistics import ServerKey, ServerState
from pipeline.balancer.model import ApplicationTargetGroup, NetworkTargetGroup

_OPEN = re.compile(r"enable server ([^; ]+)")
_CLOSED = re.compile(r"set server ([^; ]+) state maint")
_SERVERS = ["shop.web.shared/a", "shop.web/a", "shop.web/a:open"]


def group(*targets: WantedTarget) -> WantedGroup:
    return WantedGroup("shop", "web", ApplicationTargetGroup(port=80), targets)


def target(port: int = 8080, *, admit: bool = True, checked: bool = True) -> WantedTarget:
    check = ApplicationTargetGroup(port=80).health_check if checked else None
    return WantedTarget("a", "10.0.0.1", port, admit=admit, check=check, ramp=False)


def running(status: str = "UP") -> dict[ServerKey, ServerState]:
    """Return the servers of an admitted target."""
    keys = [(backend, name) for backend, _, name in (server.partition("/") for server in _SERVERS)]
    return {key: ServerState(key[1], status, check_status="L7OK", address="10.0.0.1:8080") for key in keys}


def test_a_target_opens_where_connections_are_shared_first() -> None:
    """A new target is open in the backend of shared connections before it can be counted as healthy."""
    (step,) = steps_to(group(target()), {})
    assert _OPEN.findall(step) == _SERVERS
    (step,) = steps_to(group(target()), running("MAINT"))
    assert _OPEN.findall(step) == _SERVERS


@pytest.mark.parametrize("leaving", [[target(admit=False, checked=False)], []], ids=["draining", "removed"])
def test_a_target_closes_there_last(leaving: list[WantedTarget]) -> None:
    """A target that leaves gets no shared request after it is closed, and is counted as healthy no longer than that."""
    closed = _CLOSED.findall("; ".join(steps_to(group(*leaving), running())))
    assert sorted(closed) == sorted(_SERVERS)
    assert closed.index("shop.web/a") < closed.index("shop.web.shared/a")


def test_a_target_with_another_address_closes_everywhere_before_it_opens() -> None:
    """A changed address replaces all servers: closed in one order, opened in the other."""
    (step,) = steps_to(group(target(8081)), running())
    assert _CLOSED.findall(step) == _SERVERS[::-1]
    assert _OPEN.findall(step) == _SERVERS
    assert step.rindex("state maint") < step.index("add server")


# --- Servers that lose their connections in maintenance


_MAIN: ServerKey = ("shop.web", "a")


def network(*targets: WantedTarget, cuts: bool = True) -> WantedGroup:
    attributes = {"target_health_state.unhealthy.connection_termination.enabled": cuts}
    settings = {"protocol": "TCP", "port": 80, "attributes": attributes}
    return WantedGroup("shop", "web", NetworkTargetGroup.model_validate(settings), targets)


def carrying(connections: int, status: str, check: str = "") -> dict[ServerKey, ServerState]:
    """Return the server of a target with open connections."""
    return {_MAIN: ServerState("a", status, check, in_flight=connections, address="10.0.0.1:8080")}


@pytest.mark.parametrize("wanted", [[target(admit=False, checked=False)], [], [target(8081)], [target(admit=False)]])
@pytest.mark.parametrize("connections", [0, 3])
def test_an_open_server_is_only_drained(wanted: list[WantedTarget], connections: int) -> None:
    """HAProxy would cut the connections of a server in maintenance, and new ones may come until it is drained."""
    steps = "; ".join(steps_to(network(*wanted), carrying(connections, "UP", "L4OK")))
    assert "set server shop.web/a state drain; disable health shop.web/a" in steps
    assert not re.search(r"shop\.web/a (state maint|addr)|(add|enable|del) server shop\.web/a ", f"{steps} ")


@pytest.mark.parametrize("wanted", [[], [target(8081)], [target(admit=False)]])
def test_a_drained_server_stays_while_it_has_connections(wanted: list[WantedTarget]) -> None:
    """A drained server is neither removed nor replaced before its last connection ends."""
    steps = "; ".join(steps_to(network(*wanted), carrying(1, "DRAIN")))
    assert not re.search(r"server shop\.web/a\b(?!:)", steps)
    steps = "; ".join(steps_to(network(*wanted), carrying(0, "DRAIN")))
    assert steps.index("set server shop.web/a state maint") < steps.index("del server shop.web/a")


def test_a_server_that_keeps_its_connections_is_closed_as_others_are() -> None:
    """Without termination of unhealthy targets' connections, maintenance cuts none."""
    leaving = target(admit=False, checked=False)
    (step,) = steps_to(network(leaving, cuts=False), carrying(3, "UP", "L4OK"))
    assert step == "set server shop.web/a state maint"
