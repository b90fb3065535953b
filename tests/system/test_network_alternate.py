"""Shares of an alternate group of a network load balancer, carried by HAProxy and by the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import pytest

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.model import alternate_group as model
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.alb import OWNER
from tests.system.flow_balancer import GROUP, FlowBalancer
from tests.system.flow_lab import SERVER_PORT, FlowLab, ask, target
from tests.system.nlb import Nlb, network_balancer

SOURCES = range(2, 42)
STICKY = {"attributes": {"stickiness.enabled": True}}


@pytest.fixture
def nlb(tmp_path: Path) -> Iterator[Nlb]:
    """A network load balancer with nothing declared yet."""
    with network_balancer(tmp_path / "balancer") as nlb:
        yield nlb


def divided(nlb: Nlb, share: float, test: model.TestTraffic | None = None) -> None:
    """Give the alternate group of `db` a share, of whatever is declared without it."""
    found = nlb.balancer.registry().declaration(OWNER)
    assert found is not None
    nlb.balancer.apply(OWNER, with_alternates(found, {GROUP: Alternate(share, test)}))


def test_new_connections_are_divided_without_a_reload(nlb: Nlb) -> None:
    """A share moves new connections, and those that are open stay. A test listener leads to the new release."""
    test = model.TestTraffic(port=free_port())
    nlb.declare()
    nlb.targets("old")
    divided(nlb, 0, test)
    nlb.targets("new", group="db-next")
    worker = nlb.worker()
    with nlb.connection() as kept:
        assert kept.ask() == "old"
        for share in (10, 50):
            divided(nlb, share, test)
            found = Counter(nlb.reached(400))
            part = share / 100
            assert abs(found["new"] / 400 - part) <= 5 * sqrt(part * (1 - part) / 400), found
        for share, served in ((0, {"old"}), (100, {"new"})):
            divided(nlb, share, test)
            assert set(nlb.reached(20)) == served
            assert set(nlb.reached(5, port=test.port)) == {"new"}
        assert kept.ask() == "old"
    assert nlb.worker() == worker


def test_a_sticky_source_moves_once(nlb: Nlb) -> None:
    """While the share grows, a source goes to the new release and never back; while it shrinks, the other way round."""
    nlb.declare(groups={"db": STICKY})
    nlb.targets("old")
    divided(nlb, 0)
    nlb.targets("new", group="db-next")
    sources = [f"127.0.0.{number}" for number in SOURCES]
    moved = set[str]()
    for share in (0, 10, 30, 60, 100):
        divided(nlb, share)
        now = {source for source in sources if set(nlb.reached(3, source=source)) == {"new"}}
        stay = {source for source in sources if set(nlb.reached(3, source=source)) == {"old"}}
        assert now | stay == set(sources), "all connections of a source go to one release"
        assert moved <= now
        moved = now
        assert share not in (0, 100) or len(now) == share / 100 * len(sources)
        assert share != 60 or 0 < len(now) < len(sources)


@pytest.fixture
def flows(lab: FlowLab, tmp_path: Path) -> Iterator[FlowBalancer]:
    """A balancer in a network namespace with nothing declared yet."""
    flows = FlowBalancer(lab, tmp_path / "balancer")
    try:
        yield flows
    finally:
        flows.end()


def started(flows: FlowBalancer, sticky: bool) -> Declaration:
    """Put server 0 into the home group and server 1 into the alternate one. Return the declaration without it."""
    flows.declare("TCP", group={"attributes": {"preserve_client_ip.enabled": True, "stickiness.enabled": sticky}})
    flows.register(0)
    with flows.opened() as balancer:
        declared = balancer.registry().declaration(OWNER)
        assert declared is not None
        balancer.apply(OWNER, with_alternates(declared, {GROUP: Alternate(0)}))
        place = Target(id="s1", address=str(target(1).address), port=SERVER_PORT)
        balancer.register(OWNER, f"{GROUP}-next", place)

        def is_healthy() -> bool:
            balancer.reconcile(OWNER, f"{GROUP}-next")
            found = balancer.target_health(OWNER, f"{GROUP}-next")
            return [health.state for health in found] == [TargetState.HEALTHY]

        until(is_healthy, "the new one is healthy")
    return declared


def reached(lab: FlowLab, number: int, source: str = "10.60.1.2", first: int = 20000) -> list[int]:
    """Return the servers that new connections from ports of our choice reach."""
    servers = {str(target(each).address): each for each in (0, 1)}
    found = []
    for port in range(first, first + number):
        with lab.open(source=(source, port)) as flow:
            found.append(servers[ask(flow)[0]])
    return found


def test_the_kernel_divides_new_flows(flows: FlowBalancer) -> None:
    """Shares are those of the weights, an open flow stays, and nothing is refused."""
    declared = started(flows, sticky=False)
    with flows.lab.open(source=("10.60.1.2", 19999)) as kept:
        assert ask(kept)[0] == str(target(0).address)
        for share in (0, 10, 33.3, 100):
            with flows.opened() as balancer:
                balancer.apply(OWNER, with_alternates(declared, {GROUP: Alternate(share)}))
            # The hash is fixed, and so is the result for these ports.
            assert sum(reached(flows.lab, 300)) / 3 == pytest.approx(share, abs=6)
        assert ask(kept)[0] == str(target(0).address)


def test_the_kernel_moves_a_sticky_source_once(flows: FlowBalancer) -> None:
    """While the share grows, a source goes to the new release and never back."""
    declared = started(flows, sticky=True)
    moved = set[int]()
    for share in (0, 10, 25, 50, 80, 100):
        with flows.opened() as balancer:
            balancer.apply(OWNER, with_alternates(declared, {GROUP: Alternate(share)}))
        now = set[int]()
        for host in range(2, 12):
            servers = set(reached(flows.lab, 2, source=f"10.60.1.{host}", first=30000 + share * 10))
            assert len(servers) == 1
            now |= {host} if servers == {1} else set()
        assert moved <= now
        moved = now
    assert len(moved) == 10
