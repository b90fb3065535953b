"""The names of a balancer, with the health of its targets."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.names.node import nodes_for
from pipeline.balancer.names.read import read_names
from pipeline.base.clock import SYSTEM
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.zoned import ZONES, application

FAILED = CheckFact("mismatch", code="503", text="503")
OFF = {"attributes": {"load_balancing.cross_zone.enabled": False}}


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def balancer(plane: FakePlane, tmp_path: Path) -> Balancer:
    """Return a balancer with a healthy target in each of two zones, which are independent."""
    made = Balancer(tmp_path, plane)
    listeners = [{"port": 8000, "default_action": {"forward": "web"}}]
    edge = {"zones": ZONES, "listeners": listeners}
    data = {"load_balancers": {"edge": edge}, "target_groups": {"web": {"port": 80, **OFF}}}
    made.apply("shop", Declaration.model_validate(data))
    for letter in "ab":
        made.register("shop", "web", Target(id=letter, address="10.0.0.1", port=80, zone=f"zone-{letter}"))
        plane.answer_checks(letter)
    settle(made, plane)
    return made


def settle(balancer: Balancer, plane: FakePlane) -> None:
    for _ in range(2):
        plane.run_checks()
        balancer.reconcile()


def in_service(balancer: Balancer) -> list[str | None]:
    return [node.zone for node in read_names(balancer).entries["edge"].nodes if node.in_service]


def test_a_zone_without_healthy_targets_is_out_of_service(balancer: Balancer, plane: FakePlane) -> None:
    """A node leaves the names when its targets fail, and comes back when they pass."""
    assert in_service(balancer) == ["zone-a", "zone-b"]
    plane.answer_checks("b", FAILED)
    settle(balancer, plane)
    assert in_service(balancer) == ["zone-a"]
    plane.answer_checks("b")
    settle(balancer, plane)
    assert in_service(balancer) == ["zone-a", "zone-b"]


def test_a_shift_takes_a_zone_out_of_service(balancer: Balancer) -> None:
    """A zone leaves the names while it is shifted away, healthy as it is, and comes back by itself."""
    balancer.shift("shop", "edge", "zone-a", SYSTEM.now().later(timedelta(hours=1)))
    assert in_service(balancer) == ["zone-b"]
    balancer.shift("shop", "edge", "zone-a", SYSTEM.now())
    assert in_service(balancer) == ["zone-a", "zone-b"]


@pytest.mark.parametrize("dead", [False, True])
def test_without_a_healthy_zone_all_are_answered(dead: bool, balancer: Balancer, plane: FakePlane) -> None:
    """If no zone is healthy, also because the data plane is dead, a client gets all nodes."""
    for letter in "ab":
        plane.answer_checks(letter, FAILED)
    settle(balancer, plane)
    if dead:
        plane.forget()
    assert in_service(balancer) == []
    entry = read_names(balancer).entries["edge"]
    assert len(nodes_for(entry.nodes, entry.policy, ip_address("10.9.0.1"), 0.0)) == 2


def test_the_cost_of_a_look(balancer: Balancer, plane: FakePlane) -> None:
    """The names are read with one look at the data plane, and with none if there are no zones. Nothing is changed."""
    plane.calls.clear()
    read_names(balancer)
    assert plane.calls == {"observe": 1}
    data = {"load_balancers": {"edge": application()}, "target_groups": {"web": {"port": 80}}}
    balancer.apply("shop", Declaration.model_validate(data))
    plane.calls.clear()
    assert "edge.shop" in read_names(balancer).entries
    assert not plane.calls
