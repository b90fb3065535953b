"""Appliances that fail, leave and come back, as the gateway keeper follows them, with a path in memory."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pipeline.balancer.agent.flow_fact import FlowFact
from pipeline.balancer.gateway.gateway_counts import gateway_counts
from pipeline.balancer.gateway.wanted_gateway import GatewayFile, WantedGateway
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.packet_path import Dropped
from tests.support.inner_packets import ACK, FIN, RST, icmp, tcp, udp
from tests.unit.balancer.gateway_world import CLIENT, GROUP, REBALANCE, SERVER, GatewayWorld

PORTS = range(40000, 40300)
THREE = ("fw-1", "fw-2", "fw-3")
OPEN, CLOSED = FlowFact(admitted=True, in_flight=0), FlowFact(admitted=False, in_flight=0)


@pytest.fixture
def world(tmp_path: Path) -> GatewayWorld:
    """Three healthy appliances."""
    world = GatewayWorld(tmp_path)
    world.register(*THREE)
    return world


def test_both_directions_pass_one_appliance(world: GatewayWorld) -> None:
    """`flow` checks it for each. All appliances get flows, and each flow keeps its own."""
    chosen = world.flows(PORTS)
    assert set(chosen.values()) == set(THREE)
    assert chosen == {port: world.again(port) for port in PORTS}
    assert {name: fact.in_flight for name, fact in world.facts().items()} == Counter(chosen.values())


@pytest.mark.parametrize(("kind", "flows"), [("source_ip_dest_ip_proto", 2), ("source_ip_dest_ip", 1)])
def test_stickiness(kind: str, flows: int, tmp_path: Path) -> None:
    """All packets between two addresses share a flow, or those of one protocol."""
    world = GatewayWorld(tmp_path, attributes={"stickiness.enabled": True, "stickiness.type": kind})
    world.register(*THREE)
    assert len(set(world.flows(PORTS).values())) == 1
    world.path.send(1, udp(CLIENT, SERVER))
    world.path.send(2, udp(SERVER, CLIENT, (53, 1)))
    assert sum(fact.in_flight for fact in world.facts().values()) == flows


def test_unhealthy_appliance_keeps_its_flows(world: GatewayWorld) -> None:
    before = world.flows(PORTS)
    world.change("fw-1", is_up=False)
    assert before == {port: world.again(port) for port in PORTS}
    assert "fw-1" not in world.flows(range(50000, 50100)).values()
    fact = world.facts()["fw-1"]
    assert fact == FlowFact(admitted=False, in_flight=Counter(before.values())["fw-1"])


def test_unhealthy_appliance_with_rebalance(tmp_path: Path) -> None:
    """Its flows go to the others with their next packet. Those of the others stay."""
    world = GatewayWorld(tmp_path, attributes=REBALANCE)
    world.register(*THREE)
    before = world.flows(PORTS)
    world.change("fw-1", is_up=False)
    # They are not in flight, because nothing goes to it any more.
    assert world.facts().get("fw-1", CLOSED) == CLOSED
    after = {port: world.again(port) for port in PORTS}
    assert "fw-1" not in after.values()
    assert {port for port in PORTS if before[port] != after[port]} == {p for p in PORTS if before[p] == "fw-1"}
    world.change("fw-1")
    assert after == {port: world.again(port) for port in PORTS}
    assert "fw-1" in world.flows(range(50000, 50100)).values()


@pytest.mark.parametrize("attributes", [{}, REBALANCE])
def test_fail_open(attributes: dict[str, str], tmp_path: Path) -> None:
    """If no appliance is healthy, all get new flows, and flows stay. A leaving one gets none."""
    world = GatewayWorld(tmp_path, attributes=attributes)
    world.register(*THREE, "fw-4")
    world.deregister("fw-4")
    before = world.flows(PORTS)
    for name in THREE:
        world.change(name, is_up=False)
    now = {port: world.again(port) for port in PORTS}
    survivors = {port: name for port, name in before.items() if name == "fw-3"}
    assert survivors.items() <= now.items()
    assert set(world.flows(range(50000, 50200)).values()) == set(THREE)
    world.change("fw-2")
    assert set(world.flows(range(51000, 51050)).values()) == {"fw-2"}


def test_leaving_appliance_keeps_its_flows_until_they_are_aborted(world: GatewayWorld) -> None:
    before = world.flows(PORTS)
    world.deregister("fw-1")
    assert "fw-1" not in world.flows(range(50000, 50100)).values()
    assert before == {port: world.again(port) for port in PORTS}
    kept = Counter(before.values())["fw-1"]
    assert world.facts()["fw-1"] == FlowFact(admitted=False, in_flight=kept)
    world.keeper.answer({"do": "cut", "group": GROUP, "target": "fw-1"})
    assert "fw-1" not in world.facts()
    after = {port: world.again(port) for port in PORTS}
    assert set(after.values()) == {"fw-2", "fw-3"}
    world.remove("fw-1")
    assert world.facts().keys() == {"fw-2", "fw-3"}
    assert len(world.path.state.targets) == 2


def test_appliance_that_is_removed_with_flows_is_still_counted(world: GatewayWorld) -> None:
    """Its flows stay until they end. Then its number is free, and the path knows it no more."""
    before = world.flows(PORTS)
    world.deregister("fw-1")
    world.remove("fw-1")
    assert world.facts()["fw-1"].in_flight == Counter(before.values())["fw-1"]
    assert before == {port: world.again(port) for port in PORTS}
    assert world.keeper.pause < 5
    world.path.now += 351
    world.keeper.sync()
    assert world.facts().keys() == {"fw-2", "fw-3"}
    assert len(world.path.state.targets) == 2


def test_leaving_appliance_with_rebalance_has_no_flows_at_once(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path, attributes=REBALANCE)
    world.register(*THREE)
    world.flows(PORTS)
    world.deregister("fw-1")
    assert world.facts().get("fw-1", CLOSED) == CLOSED
    assert "fw-1" not in {world.again(port) for port in PORTS}


def test_failover_that_is_changed_later(world: GatewayWorld) -> None:
    """The flows of an appliance that is unhealthy already choose again too."""
    before = world.flows(PORTS)
    world.change("fw-1", is_up=False)
    world.apply(REBALANCE)
    world.keeper.sync()
    after = {port: world.again(port) for port in PORTS}
    assert "fw-1" not in after.values()
    assert {p for p in PORTS if before[p] != "fw-1"} == {p for p in PORTS if before[p] == after[p]}


def test_flows_of_an_endpoint_that_is_moved(world: GatewayWorld) -> None:
    """They choose again among the appliances of the other load balancer. The former ones see no packet of them."""
    world.flows(PORTS)
    assert sum(each.in_flight for each in world.facts().values()) == len(PORTS)
    world.move_endpoints()
    for port in PORTS:
        world.again(port)
    found = world.opened()
    found.sync()
    facts = found.facts()
    assert sum(each.in_flight for each in facts["security.others"].values()) == len(PORTS)
    assert GROUP not in facts


@pytest.mark.parametrize("attributes", [{}, REBALANCE])
def test_endpoint_that_is_moved_to_no_appliances(attributes: dict[str, str], tmp_path: Path) -> None:
    """Its packets are dropped. The former appliances, which are of another service, get none of them."""
    world = GatewayWorld(tmp_path, attributes=attributes)
    world.register(*THREE)
    world.flows(PORTS)
    world.move_endpoints(has_appliances=False)
    assert [pool.slots for pool in world.path.state.pools.values()] == [()]
    for port in PORTS:
        with pytest.raises(Dropped, match="no_target"):
            world.again(port)
    assert not sum(each.in_flight for facts in world.keeper.facts().values() for each in facts.values())


def test_appliance_at_another_address_is_another_one(world: GatewayWorld) -> None:
    """The former one keeps its flows, and they count for the target."""
    before = world.flows(PORTS)
    assert world.servers is not None
    world.servers["fw-1"] = world.servers["fw-1"]._replace(endpoint="10.81.0.14:6081")
    world.keeper.sync()
    assert before == {port: world.again(port) for port in PORTS}
    assert "fw-4" in world.flows(range(50000, 50100)).values()
    assert world.facts()["fw-1"].in_flight > Counter(before.values())["fw-1"]


def test_no_appliance(tmp_path: Path) -> None:
    """Packets are dropped and counted."""
    world = GatewayWorld(tmp_path)
    world.keeper.sync()
    with pytest.raises(Dropped, match="no_target"):
        world.flow(40000)
    (counts,) = gateway_counts(GatewayFile(tmp_path).read(), world.keeper.counts())
    assert counts.counts == {"active": 0, "new": 0, "bytes": 0, "dropped_no_target": 1}
    assert (counts.owner, counts.name, counts.port) == ("security", "inspection", 0)


def test_flows_end_when_they_are_idle(world: GatewayWorld) -> None:
    """TCP after 350 s, or 5 s after it is closed. Others after 120 s."""
    world.flow(40000)
    world.path.send(1, udp(CLIENT, SERVER))
    for port, last in ((40001, RST), (40002, FIN)):
        world.flow(port)
        world.path.send(1, tcp(CLIENT, SERVER, (port, 443), last | ACK))
        world.path.send(2, tcp(SERVER, CLIENT, (443, port), last | ACK))
    for seconds, left in ((5, 4), (6, 2), (120, 2), (121, 1), (350, 1), (351, 0)):
        assert sum(world.path.expire(1000 + seconds).values()) == left, seconds
    with pytest.raises(Dropped, match="no_flow"):
        world.again(40000)


def test_zones_without_cross_zone(tmp_path: Path) -> None:
    """An endpoint sends flows to the appliances of its zone, and to those without a zone."""
    world = GatewayWorld(tmp_path, zones=("zone-a", "zone-b"))
    world.register("fw-1", "fw-2", zone="zone-a")
    world.register("fw-3", zone="zone-b")
    world.register("fw-4")
    assert set(world.flows(PORTS, 1).values()) == {"fw-1", "fw-2", "fw-4"}
    assert set(world.flows(PORTS, 3).values()) == {"fw-3", "fw-4"}
    for name in ("fw-1", "fw-2", "fw-4"):
        world.change(name, is_up=False)
    # Each zone fails open by itself.
    assert set(world.flows(range(50000, 50200), 1).values()) == {"fw-1", "fw-2", "fw-4"}
    assert set(world.flows(range(50000, 50050), 3).values()) == {"fw-3"}


def test_zones_with_cross_zone(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path, zones=("zone-a", "zone-b"), cross_zone=True)
    world.register("fw-1", zone="zone-a")
    world.register("fw-2", "fw-3", zone="zone-b")
    for attachment in (1, 3):
        assert set(world.flows(PORTS, attachment).values()) == set(THREE)
    world.change("fw-1", is_up=False)
    assert set(world.flows(range(50000, 50100), 1).values()) == {"fw-2", "fw-3"}


def test_another_agent_goes_on(world: GatewayWorld) -> None:
    """It knows the numbers of all appliances, also of one that is gone and has flows."""
    before = world.flows(PORTS)
    world.deregister("fw-1")
    world.remove("fw-1")
    state = world.path.state
    world.keeper = world.opened()
    world.keeper.sync()
    assert world.path.state == state
    assert before == {port: world.again(port) for port in PORTS}
    assert world.facts()["fw-1"].in_flight == Counter(before.values())["fw-1"]


def test_lost_numbers_are_the_same_again(world: GatewayWorld) -> None:
    """So the flows that the kernel has keep their appliances."""
    before, state = world.flows(PORTS), world.path.state
    (world.directory / "gateway-numbers.json").unlink()
    world.keeper = world.opened()
    world.keeper.sync()
    assert world.path.state == state
    assert before == {port: world.again(port) for port in PORTS}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"appliances": [[1]], "pools": {}, "endpoints": {}}'])
def test_damaged_numbers(content: str, world: GatewayWorld) -> None:
    before = world.flows(PORTS)
    (world.directory / "gateway-numbers.json").write_text(content)
    world.keeper = world.opened()
    world.keeper.sync()
    assert before == {port: world.again(port) for port in PORTS}


@pytest.mark.parametrize("content", [None, "", "{", '{"endpoints": {}}'])
def test_lost_file_of_what_is_wanted(content: str | None, world: GatewayWorld) -> None:
    """Everything stays as it was until the plane writes it again."""
    before, file = world.flows(PORTS), world.directory / "gateway.json"
    file.unlink() if content is None else file.write_text(content)
    assert not world.keeper.is_wanted()
    world.change("fw-1", is_up=False)
    assert "fw-1" not in world.flows(range(50000, 50100)).values()
    assert before == {port: world.again(port) for port in PORTS}


def test_appliance_without_a_route(world: GatewayWorld) -> None:
    """It gets no flows, and the reason is known. Its flows go on as soon as there is a route again."""
    before = world.flows(PORTS)
    world.unreachable.add("10.81.0.11")
    world.keeper.sync()
    fact = world.facts()["fw-1"]
    assert (fact.admitted, fact.fault) == (False, "this machine has no route to 10.81.0.11")
    assert [world.facts()[name].fault for name in ("fw-2", "fw-3")] == ["", ""]
    assert set(world.flows(range(50000, 50100)).values()) == {"fw-2", "fw-3"}
    world.unreachable.clear()
    world.keeper.sync()
    assert world.facts()["fw-1"].fault == ""
    assert before == {port: world.again(port) for port in PORTS}


def test_the_healthy_appliances_cannot_be_reached(world: GatewayWorld) -> None:
    """It is as if they were unhealthy: the others get the flows."""
    assert world.servers is not None
    world.servers["fw-1"] = world.servers["fw-1"]._replace(endpoint="[fd81::11]:6081")
    world.unreachable.add("10.81.0.12")
    world.change("fw-3", is_up=False)
    assert set(world.flows(PORTS).values()) == {"fw-3"}
    assert world.facts()["fw-1"].fault == "fd81::11 is an address of IPv6, and appliances get packets over IPv4"


def test_haproxy_does_not_run(world: GatewayWorld) -> None:
    """The appliances stay as they were. An agent that starts then changes nothing."""
    before, state = world.flows(PORTS), world.path.state
    world.servers = None
    world.keeper.sync()
    world.keeper = world.opened()
    world.keeper.sync()
    assert world.path.state == state
    assert before == {port: world.again(port) for port in PORTS}


def test_a_write_that_fails_is_repeated(world: GatewayWorld) -> None:
    before = world.flows(PORTS)
    world.path.fault = BalancerFault("the kernel is out of memory")
    with pytest.raises(BalancerFault, match="out of memory"):
        world.change("fw-1", is_up=False)
    world.path.fault = None
    world.keeper.sync()
    assert "fw-1" not in world.flows(range(50000, 50100)).values()
    assert before == {port: world.again(port) for port in PORTS}


def test_counts(world: GatewayWorld) -> None:
    """By endpoint and appliance. They are those of the load balancer's listener, which has port 0."""
    chosen = Counter(world.flows(PORTS).values())
    counted = gateway_counts(wanted(world), world.keeper.counts())
    found = {each.source.rpartition(" ")[2]: each for each in counted if "fw-" in each.source}
    assert found.keys() == set(THREE)
    size = len(tcp(CLIENT, SERVER))
    for name, each in found.items():
        assert each.counts == {"active": chosen[name], "new": chosen[name], "bytes": 2 * size * chosen[name]}
        assert (each.owner, each.name, each.port) == ("security", "inspection", 0)
        assert each.endpoint == "vpce-00000000000000001"


def test_counts_without_traffic(world: GatewayWorld) -> None:
    """They are known, and 0."""
    (found,) = gateway_counts(wanted(world), world.keeper.counts())
    assert (found.counts, found.endpoint) == ({"active": 0, "new": 0, "bytes": 0}, "vpce-00000000000000001")


def test_drops_without_an_endpoint_are_counted(world: GatewayWorld) -> None:
    """They belong to no load balancer."""
    with pytest.raises(Dropped, match="not_a_target"):
        world.path.give_back(IPv4Address("192.0.2.1"), b"")
    found = [each for each in gateway_counts(wanted(world), world.keeper.counts()) if not each.endpoint]
    assert [(each.owner, each.name, each.counts) for each in found] == [("", "", {"dropped_not_a_target": 1})]


def test_drops_are_counted(world: GatewayWorld) -> None:
    for attachment, packet in ((1, udp(CLIENT, SERVER, data=bytes(8500))), (2, b"\x00" * 40), (1, b"\x45")):
        with pytest.raises(Dropped):
            world.path.send(attachment, packet)
    target, payload = world.path.send(1, icmp(CLIENT, "203.0.113.1"))
    with pytest.raises(Dropped, match="no_network"):
        world.path.give_back(target.address, payload)
    drops = next(each for each in gateway_counts(wanted(world), world.keeper.counts()) if "fw-" not in each.source)
    nothing = {"active": 0, "new": 0, "bytes": 0}
    assert drops.counts == {**nothing, "dropped_too_large": 1, "dropped_malformed": 2, "dropped_no_network": 1}


def test_known_flow(world: GatewayWorld) -> None:
    """A question about a flow is answered with its appliance, for both directions."""
    name = world.flow(40000)
    asked = {"do": "flow", "endpoint": "vpce-00000000000000001", "protocol": "6"}
    there = {"source": CLIENT, "source_port": "40000", "target": SERVER, "target_port": "443"}
    back = {"source": SERVER, "source_port": "443", "target": CLIENT, "target_port": "40000"}
    for way in (there, back):
        assert world.keeper.answer({**asked, **way}) == {"target": name, "stays": True}
    assert world.keeper.answer({**asked, **there, "source_port": "40001"}) == {}
    assert world.keeper.answer({**asked, **there, "endpoint": "vpce-2"}) == {}


def test_clear_removes_everything(world: GatewayWorld) -> None:
    world.flows(PORTS)
    GatewayFile(world.directory).write(WantedGateway())
    world.keeper.clear()
    assert world.path.is_removed
    assert not (world.directory / "gateway-numbers.json").exists()
    assert world.facts() == {}


@pytest.mark.parametrize("request_", [{"do": "left"}, {"do": ""}, {"do": "cut"}, {"do": "flow"}])
def test_what_is_no_request(request_: dict[str, str], world: GatewayWorld) -> None:
    with pytest.raises((ValueError, KeyError)):
        world.keeper.answer(request_)


def wanted(world: GatewayWorld) -> WantedGateway:
    return GatewayFile(world.directory).read()
