"""The networks for tests of gateway load balancers, and the appliance in them, without a gateway load balancer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from tests.support.gateway_lab import CLIENTS, MACHINE, SERVERS, GatewayLab
from tests.support.gateway_traffic import PORT, Flow, Transport
from tests.support.geneve_packets import aws_packet, decoded_by_scapy, decoded_by_tshark, tshark_obstacle
from tests.support.namespace import obstacle
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())


@pytest.fixture
def lab() -> Iterator[GatewayLab]:
    """The networks with one appliance."""
    with closing(GatewayLab(appliances=1)) as opened:
        yield opened


def test_the_traffic_over_a_plain_route(lab: GatewayLab) -> None:
    """Each protocol is answered in both families, and without a way nothing is."""
    lost = lab.client.send("udp", SERVERS, 4, timeout=0.1)
    assert (len(lost.lost), lost.answered) == (4, [])
    lab.route()
    protocols: tuple[tuple[Transport, set[int]], ...] = (("tcp", {6}), ("udp", {17}), ("icmp", {1, 58}))
    for transport, numbers in protocols:
        outcome = lab.client.send(transport, SERVERS, 128, timeout=30)
        assert (outcome.lost, outcome.wrong, len(outcome.answered)) == ([], [], 128)
        assert {flow.protocol for flow in outcome.answered} == numbers
        assert {":" in flow.ends[0][0] for flow in outcome.answered} == {True, False}
        assert len(set(outcome.answered)) == (32 if transport == "icmp" else 128)
    # No appliance was on this way.
    assert len(lab.passage(outcome.answered).unseen) == 128


def test_a_connection_that_stays_open(lab: GatewayLab) -> None:
    """The server names the client's address and port, as often as it is asked."""
    lab.route()
    with closing(lab.client.open(SERVERS[0], CLIENTS[1])) as held:
        assert held.ask() == held.ask("again") == f"{CLIENTS[1]} {held.socket.getsockname()[1]}"


def test_the_appliance_returns_packets(lab: GatewayLab, tmp_path: Path) -> None:
    """What it returns is decoded by two programs. It means what was sent, from the other side and to the same port."""
    (appliance,) = lab.appliances
    there = [
        bytes(IP(src=CLIENTS[0], dst=SERVERS[0]) / TCP(sport=40000, dport=PORT) / b"hello"),
        bytes(IPv6(src="fd98::2", dst="fd98:1::10") / UDP(sport=40000, dport=PORT) / b"hello"),
        bytes(IP(src=CLIENTS[0], dst=SERVERS[0]) / UDP(sport=40000, dport=PORT) / b"an attack"),
    ]
    back = bytes(IP(src=SERVERS[0], dst=CLIENTS[0]) / TCP(sport=PORT, dport=40000) / b"hello")
    with lab.capture(tmp_path / "pcap"), lab.machine.entered():
        # Bound, so that the kernel refuses nothing that comes back.
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with holder, raw:
            holder.bind(("", 6081))
            for number, inner in enumerate((*there, back)):
                packet = aws_packet(
                    inner, outer=(MACHINE, appliance.address), source_port=50000 + number, cookie=number
                )
                raw.sendto(packet, (appliance.address, 0))
            counts = {"received": 4, "returned": 3, "dropped": 1}
            until(lambda: appliance.counts() == counts, "the packets at the appliance")
            returned = [holder.recvfrom(65535)[1] for _ in range(3)]
    assert returned == [(appliance.address, 50000), (appliance.address, 50001), (appliance.address, 50003)]
    packets = decoded_by_scapy(tmp_path / "pcap")
    assert [each.outer for each in packets].count((appliance.address, MACHINE)) == 3
    sent = {each.source_port: each for each in packets if each.outer == (MACHINE, appliance.address)}
    for back_again in (each for each in packets if each.outer == (appliance.address, MACHINE)):
        assert back_again.options == sent[back_again.source_port].options
        assert back_again.inner == sent[back_again.source_port].inner
    if not tshark_obstacle():
        assert decoded_by_tshark(tmp_path / "pcap") == packets
    symmetric = Flow.of(6, (CLIENTS[0], 40000), (SERVERS[0], PORT))
    one_way = Flow.of(17, ("fd98::2", 40000), ("fd98:1::10", PORT))
    passed = lab.passage([symmetric, one_way])
    assert (passed.shares, passed.one_way) == ({appliance.name: 0.5}, [one_way])
    assert passed.cookies[symmetric] == {"00000000", "00000003"}


def test_a_killed_appliance_answers_nothing(lab: GatewayLab) -> None:
    """Another one has its own counts, and it can be started again."""
    (appliance,) = lab.appliances
    appliance.kill()
    other = lab.add_appliance(bad_text="virus")
    assert (other.address, other.counts()) == ("10.81.0.12", {})
    appliance.start()
    assert appliance.flows() == []
