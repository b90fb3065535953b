"""The contract of every path of packets through appliances: who gets a flow, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from pipeline.balancer.gateway.flow_key import FlowFields
from tests.contract.packet_paths import PORT, FakeHarness, KernelHarness, PathHarness
from tests.support.namespace import obstacle

PORTS = range(30000, 30024)
_PATHS: dict[str, Callable[[], PathHarness]] = {"fake": FakeHarness, "kernel": KernelHarness}


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.skipif(bool(obstacle()), reason=obstacle()))])
def harness(request: pytest.FixtureRequest) -> Iterator[PathHarness]:
    """A path to which nothing was written."""
    opened = _PATHS[request.param]()
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("version", [4, 6])
def test_both_directions_of_each_flow_pass_one_appliance(version: int, harness: PathHarness) -> None:
    """`exchange` checks it. All appliances get flows, and the next packets of a flow go the same way."""
    harness.write(1, 2, 3)
    chosen = harness.chosen(PORTS, version)
    assert set(chosen.values()) == {1, 2, 3}
    assert harness.chosen(PORTS, version) == chosen


def test_a_flow_takes_the_slot_of_its_hash(harness: PathHarness) -> None:
    """So every path chooses alike, and the same again if it has forgotten a flow."""
    harness.write(1, 2, 3)
    expected = FakeHarness()
    expected.write(1, 2, 3)
    assert harness.chosen(PORTS) == expected.chosen(PORTS)


@pytest.mark.parametrize(("fields", "flows"), [(5, 3), (3, 1), (2, 1)])
def test_fields_of_a_flow(fields: FlowFields, flows: int, harness: PathHarness) -> None:
    harness.write(1, 2, 3, fields=fields)
    for server_port in range(PORT, PORT + 3):
        harness.exchange(30000, server_port=server_port)
    found = list(harness.path.flows())
    assert len(found) == flows
    assert {each.key.low_port for each in found} == ({30000} if fields == 5 else {0})
    assert {each.key.protocol for each in found} == ({0} if fields == 2 else {17})
    assert sum(each.packets for each in found) == 6


def test_an_appliance_without_slots_keeps_its_flows(harness: PathHarness) -> None:
    harness.write(1, 2, 3)
    chosen = harness.chosen(PORTS)
    harness.write(2, 3, listed=[1])
    assert harness.chosen(PORTS) == chosen
    assert 1 not in harness.chosen(range(31000, 31012)).values()


def test_flows_of_a_rebalanced_appliance_choose_again(harness: PathHarness) -> None:
    """Those of the others stay, and none goes back later."""
    harness.write(1, 2, 3)
    chosen = harness.chosen(PORTS)
    harness.write(2, 3, listed=[1], rebalanced=[1])
    after = harness.chosen(PORTS)
    assert {port for port in PORTS if chosen[port] != after[port]} == {port for port in PORTS if chosen[port] == 1}
    assert 1 not in after.values()
    harness.write(1, 2, 3)
    assert harness.chosen(PORTS) == after


def test_flows_of_an_appliance_that_is_not_listed_choose_again(harness: PathHarness) -> None:
    harness.write(1, 2, 3)
    chosen = harness.chosen(PORTS)
    harness.write(2, 3)
    after = harness.chosen(PORTS)
    assert {port for port in PORTS if chosen[port] != after[port]} == {port for port in PORTS if chosen[port] == 1}


def test_flows_of_a_rebalanced_appliance_without_another(harness: PathHarness) -> None:
    """Nothing goes to it any more. The flow goes on as soon as there is another one."""
    harness.write(1)
    assert harness.exchange(30000) == 1
    harness.write(listed=[1], rebalanced=[1])
    assert harness.lose(30000) == "no_target"
    harness.write(2, listed=[1], rebalanced=[1])
    assert harness.exchange(30000) == 2


def test_only_the_appliance_of_a_flow_returns_its_packets(harness: PathHarness) -> None:
    """Not the former one either, which knows the flow and is a target."""
    harness.write(1)
    assert harness.exchange(30000) == 1
    harness.write(2, listed=[1], rebalanced=[1])
    assert harness.exchange(30000) == 2
    assert harness.return_again(1) == "not_a_target"
    assert harness.exchange(30000) == 2


def test_flows_that_are_ended_choose_again(harness: PathHarness) -> None:
    """They count no more until their next packets."""
    harness.write(1, 2, 3)
    chosen = Counter(harness.chosen(PORTS).values())
    harness.write(2, 3, listed=[1])
    harness.path.end_flows(1)
    assert {each.target for each in harness.path.flows()} == {2, 3}
    assert harness.path.expire(harness.now()) == {(1, 2): chosen[2], (1, 3): chosen[3]}
    assert 1 not in harness.chosen(PORTS).values()
    assert sum(harness.path.expire(harness.now()).values()) == len(PORTS)


def test_without_an_appliance_packets_are_dropped(harness: PathHarness) -> None:
    harness.write()
    assert harness.lose(30000) == "no_target"
    assert harness.lose(30000) == "no_target"
    assert harness.path.counts().drops == {(1, "no_target"): 2}
    harness.write(1)
    assert harness.exchange(30000) == 1


def test_an_idle_flow_ends(harness: PathHarness) -> None:
    """UDP after 120 seconds. Until then, it counts for its appliance."""
    harness.write(1)
    harness.chosen(PORTS)
    assert harness.path.expire(harness.now() + 60) == {(1, 1): len(PORTS)}
    assert not any(harness.path.expire(harness.now() + 121).values())
    assert list(harness.path.flows()) == []


def test_counts(harness: PathHarness) -> None:
    """Of both directions, by appliance. They stay when flows end."""
    harness.write(1, 2, 3)
    chosen = Counter(harness.chosen(PORTS).values())
    harness.path.expire(harness.now() + 1000)
    traffic = harness.path.counts().traffic
    assert traffic.keys() == {(1, number) for number in (1, 2, 3)}
    for (_, number), one in traffic.items():
        assert one == (chosen[number], 2 * chosen[number], 2 * 33 * chosen[number])


def test_counts_of_former_appliances_are_forgotten(harness: PathHarness) -> None:
    harness.write(1, 2, 3)
    harness.chosen(PORTS)
    harness.write(2, 3)
    assert harness.path.counts().traffic.keys() == {(1, 2), (1, 3)}


def test_a_written_state_is_written_again(harness: PathHarness) -> None:
    """Nothing changes, and no flow moves."""
    for _ in range(3):
        harness.write(1, 2, 3)
    chosen = harness.chosen(PORTS)
    harness.write(1, 2, 3)
    assert harness.chosen(PORTS) == chosen
