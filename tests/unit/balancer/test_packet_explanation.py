"""Which appliance gets a flow at an endpoint, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact, OpenFlow
from pipeline.balancer.explanation import Question
from pipeline.balancer.gateway.numbers import Appliance
from pipeline.balancer.gateway.path_state import slots_of
from pipeline.balancer.gateway.pool_choice import PoolChoice
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.packet_explanation import PacketExplanation, explain_packet
from pipeline.balancer.packet_question import PacketQuestion
from pipeline.base.errors import ConfigError
from pipeline.cli.packet_view import show_packet
from pipeline.http.explanation_report import answer, explanation_response
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.inspected_networks import declaration

_PASSED = CheckFact("passed", passes=1)


class World:
    """A balancer with appliances, over a fake plane."""

    def __init__(
        self, directory: Path, declared: Declaration, zones: tuple[str | None, ...] = (None, None, None)
    ) -> None:
        self.plane = FakePlane()
        self.balancer = Balancer(directory, self.plane)
        self.balancer.apply("shop", declared)
        targets = [Target(id=f"fw-{n}", address=f"10.0.0.{n}", port=6081, zone=zone) for n, zone in enumerate(zones, 1)]
        self.balancer.register("shop", "firewalls", *targets)
        self.check({target.id: _PASSED for target in targets})

    def check(self, facts: dict[str, CheckFact]) -> None:
        for target, fact in facts.items():
            self.plane.answer_checks(target, fact)
        for _ in range(3):
            self.plane.run_checks()
            self.balancer.reconcile()

    def explain(self, url: str, source: str, endpoint: str = "office") -> PacketExplanation:
        return explain_packet(self.balancer, endpoint, PacketQuestion.parse(url, source))

    def chosen(self, url: str, source: str) -> str:
        found = self.explain(url, source).chosen
        assert found is not None
        return found.target.id


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, declaration())


def test_both_directions_of_a_flow_have_one_appliance(world: World) -> None:
    """The hash does not tell source and target apart."""
    for port in range(40000, 40020):
        there = world.chosen("tcp://198.18.1.10:443", f"198.18.0.5:{port}")
        assert world.chosen(f"tcp://198.18.0.5:{port}", "198.18.1.10:443") == there


def test_flows_are_shared_out(world: World) -> None:
    """Each of three appliances gets about a third, and the choice is the same each time."""
    found = Counter(world.chosen("tcp://198.18.1.10:443", f"198.18.0.5:{port}") for port in range(40000, 40150))
    assert set(found) == {"fw-1", "fw-2", "fw-3"}
    assert min(found.values()) > 30
    assert world.chosen("udp://[2001:db8::1]:53", "[2001:db8::2]:4000") in found


@pytest.mark.parametrize(
    ("kind", "schemes"), [("source_ip_dest_ip_proto", ("tcp",)), ("source_ip_dest_ip", ("tcp", "udp"))]
)
def test_stickiness_ignores_ports(tmp_path: Path, kind: str, schemes: tuple[str, ...]) -> None:
    """All flows between two addresses have one appliance, of one protocol or of all."""
    world = World(tmp_path, declaration(attributes={"stickiness.enabled": True, "stickiness.type": kind}))
    chosen = {
        world.chosen(f"{scheme}://198.18.1.10:{port}", f"198.18.0.5:{port + 1}")
        for port in range(1, 20)
        for scheme in schemes
    }
    assert chosen == {world.chosen("198.18.1.10", "198.18.0.5")}


def test_an_unhealthy_appliance_gets_no_new_flow(world: World) -> None:
    """Until none is healthy: then all get them."""
    world.check({"fw-1": CheckFact("timeout")})
    found = {world.chosen("tcp://198.18.1.10:443", f"198.18.0.5:{port}") for port in range(40000, 40030)}
    assert found == {"fw-2", "fw-3"}
    world.check({"fw-2": CheckFact("timeout"), "fw-3": CheckFact("timeout")})
    explained = world.explain("icmp://198.18.1.10", "198.18.0.5")
    assert explained.fails_open
    assert len(explained.eligible) == 3
    assert explained.reason.endswith("which it has among all 3 appliances, because none is healthy")


def test_an_endpoint_has_the_appliances_of_its_zone(tmp_path: Path) -> None:
    """Those without a zone too."""
    world = World(tmp_path, declaration(["zone-a", "zone-b"]), ("zone-a", "zone-b", None))
    explained = world.explain("icmp://198.18.1.10", "198.18.0.5")
    assert [one.target.id for one in explained.targets] == ["fw-1", "fw-3"]
    assert "among 2 healthy appliances of zone-a" in explained.reason


def test_without_appliances(tmp_path: Path) -> None:
    """Nothing is chosen."""
    world = World(tmp_path, declaration(), ())
    explained = world.explain("icmp://198.18.1.10", "198.18.0.5")
    assert (explained.chosen, explained.fails_open) == (None, False)
    assert explained.reason == "the endpoint has no appliance that was ever healthy, so its packets are dropped"


@pytest.mark.parametrize(
    ("url", "source", "problem", "hint"),
    [
        ("tcp://198.18.1.10:443", "198.18.0.5", "source 198.18.0.5 has no port", "--source 198.18.0.5:40000"),
        ("tcp://198.18.1.10", "198.18.0.5:1", "tcp://198.18.1.10 has no port", "tcp://198.18.1.10:443, udp"),
        ("http://198.18.1.10", "198.18.0.5:1", "http://198.18.1.10 is not a packet", "tcp://198.18.1.10:443, udp"),
        ("tcp://shop.example:443", "198.18.0.5:1", "tcp://shop.example:443: must be an IP address", "tcp://198.18"),
        ("tcp://198.18.1.10:443", "client", "source client: must be an IP address", "tcp://198.18"),
        ("tcp://198.18.1.10:0", "198.18.0.5:1", "tcp://198.18.1.10:0: must be an IP address", "tcp://198.18"),
        ("tcp://198.18.1.10:99999", "198.18.0.5:1", "tcp://198.18.1.10:99999: must be an IP address", "tcp://198.18"),
        ("tcp://[2001:db8::1]:443", "198.18.0.5:1", "source 198.18.0.5 and 2001:db8::1 are of two", "give addresses"),
        (
            "icmp://198.18.1.10",
            "198.18.0.5:1",
            "icmp://198.18.1.10: a packet of ICMP has no port",
            "icmp://198.18.1.10,",
        ),
        ("", "198.18.0.5:1", ": must be an IP address, with or without a port", "tcp://198.18"),
    ],
)
def test_a_packet_that_is_not_one(world: World, url: str, source: str, problem: str, hint: str) -> None:
    """The error says what is wrong, and what to write."""
    with pytest.raises(ConfigError) as caught:
        world.explain(url, source)
    assert caught.value.message.startswith(problem)
    assert (caught.value.hint or "").startswith(hint)


def test_the_gateway_agent_chooses_the_same(world: World) -> None:
    """The slots that it writes into the kernel name the same appliance for each flow, whatever its numbers are."""
    world.check({"fw-2": CheckFact("timeout")})
    appliances = [Appliance("shop.firewalls", f"fw-{n}", f"10.0.0.{n}:6081") for n in (1, 2, 3)]
    numbers = {each: 90 - index for index, each in enumerate(appliances)}
    chosen = PoolChoice((appliances[2], appliances[0]))
    slots = slots_of(chosen, numbers, appliances)
    names = {number: each.target for each, number in numbers.items()}
    for port in range(40000, 40020):
        key = PacketQuestion.parse("tcp://198.18.1.10:443", f"198.18.0.5:{port}").key(5)
        assert names[slots[key.hash % len(slots)]] == world.chosen("tcp://198.18.1.10:443", f"198.18.0.5:{port}")


def test_an_endpoint_that_carries_nothing(world: World) -> None:
    """One that is unknown, or that its service has not accepted."""
    with pytest.raises(ConfigError, match="endpoint ofice is not declared"):
        world.explain("icmp://198.18.1.10", "198.18.0.5", "ofice")
    with pytest.raises(
        ConfigError, match="endpoint waiting of shop carries no packets: the owner of its service has not"
    ):
        world.explain("icmp://198.18.1.10", "198.18.0.5", "waiting")


def test_the_same_endpoint_by_each_of_its_names(world: World) -> None:
    """Name, owner and name, and id."""
    first = world.explain("icmp://198.18.1.10", "198.18.0.5")
    for name in ("office.shop", first.endpoint.endpoint.endpoint_id):
        assert world.explain("icmp://198.18.1.10", "198.18.0.5", name) == first


def test_what_programs_get(world: World) -> None:
    """One target is chosen, and the reason is a sentence."""
    question = Question("tcp://198.18.1.10:443", source="198.18.0.5:40000", endpoint="office")
    data = explanation_response(answer(world.balancer, question)).as_data()
    assert (data["fields"], data["fails_open"], data["protocol"]) == (5, False, "tcp")
    assert (data["source_port"], data["destination_port"]) == (40000, 443)
    assert [one["eligible"] for one in data["targets"]] == [True] * 3
    (chosen,) = [one["target"]["id"] for one in data["targets"] if one["chosen"]]
    assert chosen == world.chosen("tcp://198.18.1.10:443", "198.18.0.5:40000")


def test_what_people_get(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The packet, the endpoint, the appliances and the reason."""
    world.check({"fw-1": CheckFact("timeout")})
    found = world.explain("tcp://198.18.1.10:443", "198.18.0.5:40000")
    show_packet(found)
    text = capsys.readouterr().out
    assert "TCP 198.18.0.5:40000 → 198.18.1.10:443, a flow of 5 fields" in text
    assert "load balancer inspection of shop" in text
    assert text.count("this flow") == 1
    assert text.count("new flows") == 1
    assert found.reason in text


@pytest.mark.parametrize("stays", [True, False])
def test_a_flow_that_is_open(stays: bool, world: World) -> None:
    """It stays with its appliance, unless that is unhealthy and its flows choose again."""
    url, source = "tcp://198.18.1.10:443", "198.18.0.5:40000"
    fresh = world.chosen(url, source)
    had = next(name for name in ("fw-1", "fw-2", "fw-3") if name != fresh)
    ends = PacketQuestion.parse(url, source).ends
    endpoint = world.explain(url, source).endpoint.endpoint.endpoint_id
    world.plane.open_flows[endpoint, ends] = OpenFlow(had, stays)
    found = world.explain(url, source)
    assert found.chosen is not None
    assert found.chosen.target.id == (had if stays else fresh)
    expected = f"the flow is open, and stays with {had}" if stays else f"the flow of {had}, which is healthy, chooses"
    assert found.reason.startswith(expected)
    assert found.reason.endswith("3 healthy appliances") != stays


def test_a_flow_of_an_appliance_that_is_gone(world: World) -> None:
    """Nothing is known of it any more, so the packet is explained as a new flow."""
    url, source = "tcp://198.18.1.10:443", "198.18.0.5:40000"
    endpoint = world.explain(url, source).endpoint.endpoint.endpoint_id
    world.plane.open_flows[endpoint, PacketQuestion.parse(url, source).ends] = OpenFlow("fw-9", stays=True)
    assert world.explain(url, source).reason.startswith("the hash")
