"""`pipeline balancer explain` for an address and a port: nodes, target groups, and the targets' shares."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.flow_explanation import explain_flow
from pipeline.balancer.model import Declaration, Target
from pipeline.base.errors import ConfigError
from pipeline.cli.flow_view import show_flow
from pipeline.http.explanation_report import explanation_response
from pipeline.testing.fakes.data_plane import FakePlane

_CROSS_ZONE = "load_balancing.cross_zone.enabled"
_COUNT = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"


class Lab:
    """A balancer in memory with a network load balancer on port 5432, and its targets."""

    def __init__(self, directory: Path) -> None:
        self.plane = FakePlane()
        self.balancer = Balancer(directory / "balancer", self.plane)

    def declare(self, *, forward: Any = "db", zones: bool = False, cross_zone: bool = False, **attributes: Any) -> None:
        place = {"zones": {"a": "127.0.0.11", "b": "127.0.0.12"}} if zones else {"address": "127.0.0.5"}
        edge = {
            "type": "network",
            **place,
            "attributes": {_CROSS_ZONE: cross_zone},
            "listeners": [{"protocol": "TCP", "port": 5432, "default_action": {"forward": forward}}],
        }
        groups = {name: {"protocol": "TCP", "port": 80, "attributes": attributes} for name in ("db", "spare")}
        declared = Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": edge}})
        self.balancer.apply("shop", declared)

    def targets(self, *names: str, group: str = "db", zone: str | None = None) -> None:
        """Register healthy targets."""
        for number, name in enumerate(names, start=1):
            self.plane.answer_checks(name, CheckFact("passed", passes=1))
            target = Target(id=name, address=f"10.0.{1 if zone == 'b' else 0}.{number}", port=80, zone=zone)
            self.balancer.register("shop", group, target)
        self.plane.run_checks()
        self.balancer.wait_healthy("shop", group, timedelta(seconds=5))

    def fail(self, *names: str) -> None:
        """Let targets fail their checks."""
        for name in names:
            self.plane.answer_checks(name, CheckFact("failed"))
        self.plane.run_checks()

    def shares(self, host: str = "localhost") -> dict[tuple[str | None, str], float]:
        """Return the share of each target at each node."""
        found = explain_flow(self.balancer, "tcp", host, 5432)
        return {(share.zone, share.health.target.id): round(share.share, 4) for share in found.shares}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_targets_share_by_the_weights_of_their_groups(lab: Lab) -> None:
    """Each group gets its weight's share, and the group's targets get equal parts of it."""
    lab.declare(forward=[{"target_group": "db", "weight": 3}, "spare"])
    lab.targets("db-1", "db-2")
    lab.targets("spare-1", group="spare")
    assert lab.shares() == {(None, "db-1"): 37.5, (None, "db-2"): 37.5, (None, "spare-1"): 25}


def test_unhealthy_targets_get_nothing_until_the_group_fails_open(lab: Lab) -> None:
    """An unhealthy target has no share. With too few healthy ones, all targets have the same."""
    lab.declare()
    lab.targets("db-1", "db-2")
    lab.fail("db-1")
    assert lab.shares() == {(None, "db-1"): 0, (None, "db-2"): 100}
    lab.declare(**{_COUNT: 2})
    assert lab.shares() == {(None, "db-1"): 50, (None, "db-2"): 50}


@pytest.mark.parametrize(("cross_zone", "of_two", "of_eight"), [(False, 25, 6.25), (True, 10, 10)])
def test_zones_of_two_and_of_eight_targets(lab: Lab, cross_zone: bool, of_two: float, of_eight: float) -> None:
    """Clients use both nodes equally, so targets get ELB's shares of all connections."""
    lab.declare(zones=True, cross_zone=cross_zone)
    small, large = [f"a-{n}" for n in range(2)], [f"b-{n}" for n in range(8)]
    lab.targets(*small, zone="a")
    lab.targets(*large, zone="b")
    total = Counter[str]()
    for (_, name), share in lab.shares().items():
        total[name] += share / 2
    assert total == {**dict.fromkeys(small, of_two), **dict.fromkeys(large, of_eight)}
    one_node = {name for (zone, name) in lab.shares("127.0.0.11")}
    assert one_node == {*small, *(large if cross_zone else ())}


def test_the_address_chooses_the_listener(lab: Lab) -> None:
    """An address that no listener has is refused, with those that are declared."""
    lab.declare()
    assert lab.shares("127.0.0.5") == {}
    with pytest.raises(ConfigError) as refused:
        lab.shares("127.0.0.6")
    assert refused.value.message == "no network load balancer accepts TCP at 127.0.0.6:5432"
    assert refused.value.hint == "declared: tcp://127.0.0.5:5432, load balancer edge of shop"
    with pytest.raises(ConfigError, match="no network load balancer accepts UDP at"):
        explain_flow(lab.balancer, "udp", "127.0.0.5", 5432)


def test_the_explanation_as_text(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has the listener, its nodes and a row for each target of a node."""
    lab.declare(zones=True, **{"stickiness.enabled": True})
    lab.targets("db-1", zone="a")
    show_flow(explain_flow(lab.balancer, "tcp", "127.0.0.11", 5432))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "tcp://127.0.0.11:5432, tcp://127.0.0.12:5432, load balancer edge of shop, carried by HAProxy: "
        "the fake plane has no other",
        "node a: 127.0.0.11",
        "target group db keeps each client address with one target, so shares are those of addresses",
        "NODE TARGET GROUP TARGET ZONE STATE CONNECTIONS",
        "a db (100 %) db-1 10.0.0.1:80 a healthy 100 %",
    ]


def test_no_targets(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Without targets, the text says what clients see."""
    lab.declare()
    show_flow(explain_flow(lab.balancer, "tcp", "localhost", 5432))
    assert capsys.readouterr().out.splitlines()[-1] == "no targets are registered, so connections are refused"


def test_the_explanation_as_data(lab: Lab) -> None:
    """The data has the same, with numbers."""
    lab.declare()
    lab.targets("db-1")
    data = explanation_response(explain_flow(lab.balancer, "tcp", "localhost", 5432)).as_data()
    (node,) = data.pop("nodes")
    assert data == {
        "port": 5432,
        "protocol": "TCP",
        "load_balancer": {"name": "edge", "owner": "shop"},
        "plane": "haproxy",
    }
    (target,) = node["targets"]
    assert (node["zone"], target["target"]["id"], target["share"], target["sticky"]) == (None, "db-1", 100, False)
