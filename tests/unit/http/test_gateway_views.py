"""A gateway load balancer as programs, the terminal and the web interface show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pipeline.balancer.model import Target
from pipeline.balancer.overview import Overview
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.cli.balancer_tree import draw
from pipeline.cli.console import show
from pipeline.web.topology.picture import RulesPicture
from pipeline.web.topology.shown_rules import shown_rules
from tests.support.balancer_world import BalancerWorld

GATEWAY: dict[str, Any] = {
    "target_groups": {"firewalls": {"protocol": "GENEVE"}},
    "load_balancers": {
        "inspection": {
            "type": "gateway",
            "zones": ["zone-a"],
            "listeners": [{"default_action": {"forward": "firewalls"}}],
        }
    },
    "endpoint_services": {"inspection": {"load_balancers": ["inspection"], "acceptance_required": True}},
    "endpoints": {"office": {"service": "inspection", "networks": {"apps": {"docker_network": "apps"}}}},
}


@pytest.fixture
def world(tmp_path: Path) -> BalancerWorld:
    world = BalancerWorld(tmp_path)
    world.declare(GATEWAY)
    return world


def test_what_programs_get(world: BalancerWorld) -> None:
    """A gateway has no scheme, its node no address and its listener no port. Its endpoints are listed."""
    (balancer,) = world.live.report().load_balancers
    (zone,), (listener,), (endpoint,) = balancer.zones, balancer.listeners, balancer.endpoints
    assert (balancer.type, balancer.scheme, zone.zone, zone.address) == ("gateway", None, "zone-a", None)
    assert (listener.port, listener.protocol, list(listener.urls)) == (None, "GENEVE", [])
    assert [share.target_group for share in listener.rules[0].target_groups] == ["shop.firewalls"]
    assert (endpoint.name, endpoint.owner, endpoint.state) == ("office", "shop", "pendingAcceptance")
    assert endpoint.reason == "the owner of its service has not accepted it"


def test_the_tree(world: BalancerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the endpoints, and counts flows in place of connections."""
    target = Target(id="fw-1", address="10.1.0.1", port=6081, zone="zone-a")
    world.balancer.register("shop", "firewalls", target)
    show(draw(Overview.from_balancer(world.balancer, Traffic(10.0))))
    lines = [line.strip(" │├└─") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "gateway load balancer inspection of shop"
    assert lines[2] == "endpoint office of shop  apps  pendingAcceptance  the owner of its service has not accepted it"
    assert lines[3] == "all ports and protocols"
    assert any(line.startswith("fw-1") and "0 flows" in line for line in lines)


def test_the_picture(world: BalancerWorld) -> None:
    """It has a box for the zone and one for the endpoint, above the listener for all packets."""
    report = world.live.report()
    (balancer,) = report.load_balancers
    root = ElementTree.fromstring(RulesPicture(balancer, shown_rules(balancer, 1)).draw().svg)
    texts = [text.text for text in root.iter("text")]
    assert "gateway load balancer of shop" in texts
    assert "office: pendingAccept…" in texts
    assert "all ports and protocols" in texts
    assert "None" not in "".join(root.itertext())
