"""The order of the commands that change a target's servers. `repetition` relies on it."""

from __future__ import annotations

import re

import pytest

from pipeline.balancer.data_plane import WantedGroup, WantedTarget
from pipeline.balancer.haproxy.control_socket import ServerKey, ServerState
from pipeline.balancer.haproxy.servers import steps_to
from pipeline.balancer.model import ApplicationTargetGroup

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
