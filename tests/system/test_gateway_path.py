"""The path of packets in the kernel, with real traffic between network namespaces."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pipeline.balancer.gateway.flow_key import FlowFields
from pipeline.balancer.gateway.gateway_state import DropReason, FlowRecord
from pipeline.balancer.gateway.path.records import IdleTimes
from tests.support.namespace import obstacle
from tests.support.path_appliance import PathAppliance
from tests.support.path_lab import CLIENT, CLIENT_SIDE, ENDPOINT, HOME, MACHINE, SERVER, SERVER_SIDE, PathLab
from tests.support.waiting import until
from tests.system.path_connection import PathConnection

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
_PORT = 7000
_NO_FRAGMENTS = 10, 2  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


@pytest.fixture(name="lab")
def _lab() -> Iterator[PathLab]:
    lab = PathLab()
    try:
        yield lab
    finally:
        lab.close()


def _drops(lab: PathLab) -> dict[DropReason, int]:
    found = dict[DropReason, int]()
    for (_, reason), count in lab.path.counts().drops.items():
        found[reason] = found.get(reason, 0) + count
    return found


def _exchange(lab: PathLab, version: int = 4, data: bytes = b"ping", ports: tuple[int, int] = (0, _PORT)) -> int:
    """Send a datagram to the server and back, and return the client's port."""
    kind = socket.SOCK_DGRAM
    with lab.socket_at(lab.server, version, kind) as server, lab.socket_at(lab.client, version, kind) as client:
        client.bind((CLIENT[version], ports[0]))
        server.bind((SERVER[version], ports[1]))
        client.sendto(data, (SERVER[version], ports[1]))
        received, peer = server.recvfrom(65536)
        assert received == data
        assert peer[:2] == client.getsockname()[:2]
        server.sendto(data, peer)
        assert client.recv(65536) == data
        return int(peer[1])


def _flow(lab: PathLab) -> FlowRecord:
    (found,) = lab.path.flows()
    return found


def _appliance(lab: PathLab) -> PathAppliance:
    """Return the appliance that got packets. The others got none."""
    (found,) = [each for each in lab.appliances if each.seen]
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_tcp(lab: PathLab, version: int) -> None:
    """Both directions of a connection go through one appliance, with right checksums, also of large segments."""
    lab.write(lab.state(1, 2, 3))
    connection = PathConnection(lab, version)
    assert connection.peer[:2] == connection.client.getsockname()[:2]
    assert connection.peer[0] == CLIENT[version]
    connection.send(bytes(500_000))
    connection.close()
    until(lambda: _flow(lab).state == "closing", "the flow to be closing")
    appliance = _appliance(lab)
    assert appliance.faults == []
    assert appliance.cookies() == {_flow(lab).cookie}
    assert {each.wrapped.attachment for each in appliance.seen} == {CLIENT_SIDE, SERVER_SIDE}
    assert {each.wrapped.endpoint for each in appliance.seen} == {ENDPOINT}
    assert max(each.size for each in appliance.seen) == 8500
    assert _drops(lab) == {}
    until(lambda: _is_settled(lab, appliance), "the counts to agree")


def _is_settled(lab: PathLab, appliance: PathAppliance) -> bool:
    """Return whether the appliance got what the path has counted. The last packets may be on their way."""
    flow, counts = _flow(lab), lab.path.counts().traffic
    got = len(appliance.seen), sum(each.size for each in appliance.seen)
    return counts == {(1, flow.target): (1, flow.packets, flow.bytes)} and got == (flow.packets, flow.bytes)


@pytest.mark.parametrize("version", [4, 6])
def test_udp(lab: PathLab, version: int) -> None:
    """A datagram and its reply are one flow. The largest packet has 8,500 bytes."""
    lab.write(lab.state(1, 2, 3))
    _exchange(lab, version, bytes(8500 - {4: 28, 6: 48}[version]))
    appliance = _appliance(lab)
    assert appliance.faults == []
    assert [each.size for each in appliance.seen] == [8500, 8500]
    assert _flow(lab).state == "established"
    assert _flow(lab).key.protocol == socket.IPPROTO_UDP


@pytest.mark.parametrize("version", [4, 6])
def test_ping(lab: PathLab, version: int) -> None:
    """ICMP has a flow of addresses and protocol."""
    lab.write(lab.state(1, 2, 3))
    with lab.socket_at(lab.client, version, socket.SOCK_RAW, _ICMP[version]) as opened:
        head = struct.pack("!BBHHH", _ECHO_REQUEST[version], 0, 0, 7, 1)
        if version == 4:
            head = struct.pack("!BBHHH", _ECHO_REQUEST[4], 0, 0xFFFF - (0x0800 + 7 + 1), 7, 1)
        opened.sendto(head, (SERVER[version], 0))
        until(lambda: opened.recv(1500)[20 if version == 4 else 0] == _ECHO_REPLY[version], "the reply")
    assert len(_appliance(lab).seen) == 2
    assert _appliance(lab).faults == []
    assert (_flow(lab).key.low_port, _flow(lab).key.protocol) == (0, _ICMP[version])


def test_choice(lab: PathLab) -> None:
    """The kernel and `FlowKey.hash` choose the same slots, in both families and both orders of addresses."""
    state = lab.state(1, 2, 3)
    lab.write(state)
    for version in (4, 6):
        with lab.socket_at(lab.server, version, socket.SOCK_DGRAM) as server:
            server.bind((SERVER[version], _PORT))
            for place, target in ((lab.client, SERVER), (lab.server, CLIENT)):
                for port in range(20000, 20050):
                    with lab.socket_at(place, version, socket.SOCK_DGRAM) as opened:
                        opened.bind(("", port))
                        opened.sendto(b"x", (target[version], _PORT + 1 + (port % 3)))
    flows = list(lab.path.flows())
    assert len(flows) >= 200
    slots = state.pools[1].slots
    assert {(each.key, each.target) for each in flows} == {
        (each.key, slots[each.key.hash % len(slots)]) for each in flows
    }
    assert {each.target for each in flows} == {1, 2, 3}


@pytest.mark.parametrize(("fields", "flows"), [(5, 4), (3, 2), (2, 1)])
def test_fields(lab: PathLab, fields: FlowFields, flows: int) -> None:
    """Ports and protocol make a flow, or the protocol, or only the addresses."""
    lab.write(lab.state(1, 2, 3, fields=fields))
    for _ in range(2):
        _exchange(lab)
        PathConnection(lab).close()
    assert len(list(lab.path.flows())) == flows


def test_fragments(lab: PathLab) -> None:
    """All fragments of a packet go through one appliance, and the packet arrives whole."""
    for place in (lab.client, lab.server):
        place.ip("link set net0 mtu 1500")
    lab.write(lab.state(1, 2, 3))
    for version in (4, 6):
        _exchange(lab, version, bytes(20_000))
    flows = list(lab.path.flows())
    assert len(flows) == 2
    assert {each.key.low_port for each in flows} == {0}
    assert sum(len(each.seen) for each in lab.appliances) == sum(each.packets for each in flows) > 50
    assert [each.faults for each in lab.appliances] == [[], [], []]


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error(lab: PathLab, version: int) -> None:
    """An error that the server's kernel reports takes the way of the flow that it is about."""
    lab.write(lab.state(1, 2, 3))
    with lab.socket_at(lab.client, version, socket.SOCK_DGRAM) as client:
        client.connect((SERVER[version], _PORT))
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            client.recv(1)
    assert [each.protocol for each in _appliance(lab).seen] == [socket.IPPROTO_UDP, _ICMP[version]]
    assert _appliance(lab).cookies() == {_flow(lab).cookie}


def test_too_large() -> None:
    """A packet of 8,501 bytes is dropped and counted. No ICMP is sent, also with DF."""
    lab = PathLab(1, mtu=9000)
    try:
        lab.write(lab.state(1))
        with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.IPPROTO_IP, *_NO_FRAGMENTS)
            client.connect((SERVER[4], _PORT))
            client.send(bytes(8501 - 28))
            until(lambda: _drops(lab) == {"too_large": 1}, "the drop")
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
        assert lab.appliances[0].seen == []
        _exchange(lab, data=bytes(8500 - 28))
    finally:
        lab.close()


def test_small_link(lab: PathLab) -> None:
    """A packet that is too large for the link of the appliances is dropped and counted."""
    lab.machine.ip("link set appliances mtu 1500")
    lab.write(lab.state(1))
    _exchange(lab, data=bytes(1432 - 28))
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client:
        client.sendto(bytes(1433 - 28), (SERVER[4], _PORT))
    until(lambda: _drops(lab) == {"too_large": 1}, "the drop")


def _at(place: int, data: bytes) -> Callable[[bytes], bytes]:
    """Return a change of some bytes of a payload."""
    return lambda payload: payload[:place] + data + payload[place + len(data) :]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_at(36, bytes(4)), "unknown_flow"),  # the cookie
        (_at(12, bytes(8)), "unknown_flow"),  # the endpoint
        (_at(24, bytes(8)), "unknown_flow"),  # the attachment
        (_at(0, b"\x48"), "not_geneve"),  # the version
        (_at(8, b"\x01\x09"), "not_geneve"),  # the class of the first option
        (_at(40, b"\x05"), "malformed"),  # the inner version
        (lambda payload: payload[:59], "malformed"),
        (_at(56, bytes((10, 61, 9, 9))), "unknown_flow"),  # the inner destination
    ],
)
def test_returned(lab: PathLab, change: Callable[[bytes], bytes], reason: DropReason) -> None:
    """What an appliance returns with anything else than its flow is dropped and counted."""
    lab.write(lab.state(1))
    lab.appliances[0].change = change
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (SERVER[4], _PORT))
    until(lambda: _drops(lab) == {reason: 1}, "the drop")


def test_returned_in_fragments(lab: PathLab) -> None:
    """What an appliance returns in fragments is dropped, and each packet is counted once."""
    lab.write(lab.state(1))
    lab.places[0].ip("route change 10.61.3.0/24 dev eth0 src 10.61.3.11 mtu 600")
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client, lab.socket_at(lab.server, 4, 2) as server:
        server.bind((SERVER[4], _PORT))
        client.sendto(bytes(1500), (SERVER[4], _PORT))
        client.sendto(b"whole", (SERVER[4], _PORT))
        assert server.recv(2000) == b"whole"
    until(lambda: _drops(lab) == {"too_large": 1}, "the drop")


def test_stranger(lab: PathLab) -> None:
    """A machine that is no target cannot send packets into a network, though it knows endpoint and cookie."""
    lab.write(lab.state(1))
    _exchange(lab)
    payload = lab.appliances[0].seen[0].wrapped.encoded()
    lab.appliances[1].send(payload, MACHINE)
    until(lambda: _drops(lab) == {"not_a_target": 1}, "the drop")


def test_packets_of_the_machine_itself(lab: PathLab) -> None:
    """What it sends of IPv6 at each device, such as reports of multicast, is of no network, and is not counted."""
    lab.write(lab.state(1))
    with lab.machine.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((f"gate0-{HOME[:9]}", 0))
        for kind in (b"\x86\xdd", b"\x08\0"):
            sender.send(b"\x02gate\0" * 2 + kind + bytes(100))
    until(lambda: lab.path.counts().drops, "the drop of IPv4")
    assert lab.path.counts().drops == {(0, "no_target"): 1}


def test_no_network(lab: PathLab) -> None:
    """A packet to an address that no attached network has goes through the appliance, and is dropped then."""
    lab.write(lab.state(1))
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("10.99.0.1", _PORT))
    until(lambda: _drops(lab) == {"no_network": 1}, "the drop")
    assert len(lab.appliances[0].seen) == 1


def test_longest_prefix(lab: PathLab) -> None:
    """The attachment with the longest prefix that has the destination gets the packet."""
    lab.server.ip("addr add 10.61.1.77/32 dev net0")
    state = lab.state(1)
    endpoint = state.endpoints[1]
    client, server = endpoint.attachments
    longer = replace(server, prefixes=(*server.prefixes, type(server.prefixes[0])("10.61.1.77/32")))
    lab.write(replace(state, endpoints={1: replace(endpoint, attachments=(client, longer))}))
    with lab.socket_at(lab.server, 4, socket.SOCK_DGRAM) as opened, lab.socket_at(lab.client, 4, 2) as sender:
        opened.bind(("10.61.1.77", _PORT))
        # The client's own route has all of 10.61.1.0/24 on its link, which is the endpoint's too.
        sender.sendto(b"x", ("10.61.1.77", _PORT))
        assert opened.recv(10) == b"x"


def test_no_target(lab: PathLab) -> None:
    """Without slots, packets are dropped and counted."""
    lab.write(lab.state())
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (SERVER[4], _PORT))
    until(lambda: _drops(lab) == {"no_target": 1}, "the drop")
    assert list(lab.path.flows()) == []


def test_stays(lab: PathLab) -> None:
    """A flow stays with a target without new flows. It chooses again when it is rebalanced, ended or not listed."""
    lab.write(lab.state(1))
    connection = PathConnection(lab)
    cookie = _flow(lab).cookie
    lab.write(lab.state(2, 3, listed=[1]))
    connection.send(b"stays")
    assert _flow(lab).target == 1
    lab.write(lab.state(2, listed=[1], rebalanced=[1]))
    connection.send(b"moves")
    assert _flow(lab).target == 2
    lab.write(lab.state(3, listed=[2]))
    connection.send(b"stays")
    lab.path.end_flows(2)
    assert list(lab.path.flows()) == []
    connection.send(b"chooses again")
    assert _flow(lab).target == 3
    lab.write(lab.state(1))
    connection.send(b"not listed")
    assert (_flow(lab).target, _flow(lab).cookie) == (1, cookie)
    connection.close()


def test_reset_ends(lab: PathLab) -> None:
    """A flow that has seen RST is closing, and is gone five seconds later. One that is open stays 350 seconds."""
    lab.write(lab.state(1, 2, 3))
    reset, opened = PathConnection(lab), PathConnection(lab)
    reset.reset()
    until(lambda: sorted(each.state for each in lab.path.flows()) == ["closing", "established"], "the reset")
    now = time.monotonic()
    assert sum(lab.path.expire(now).values()) == 2
    assert sum(lab.path.expire(now + 6).values()) == 1
    assert _flow(lab).key.low_port == opened.peer[1]
    assert lab.path.expire(now + 345) == {(1, _flow(lab).target): 1}
    assert lab.path.expire(now + 352) == {}
    opened.close()


def test_idle_udp(lab: PathLab) -> None:
    """A flow of UDP ends after 120 seconds."""
    lab.write(lab.state(1))
    _exchange(lab)
    now = time.monotonic()
    assert lab.path.expire(now + 119) == {(1, 1): 1}
    assert lab.path.expire(now + 122) == {}
    assert list(lab.path.flows()) == []


def test_idle_tcp(lab: PathLab) -> None:
    """After its idle time, packets of a connection are dropped. The next SYN is a new flow, as in AWS."""
    lab.write(lab.state(1, tcp_idle=1))
    connection = PathConnection(lab)
    end = _flow(lab).last_seen + 1
    until(lambda: time.monotonic() > end, "the idle time")
    connection.client.send(b"late")
    until(lambda: _drops(lab).get("no_flow"), "the drop")
    again = PathConnection(lab)
    again.send(b"new")
    again.close()
    connection.close()


@pytest.mark.parametrize("fields", [3, 2])
def test_many_connections(lab: PathLab, fields: FlowFields) -> None:
    """A connection that closes does not close the flow without ports that it shares with others."""
    lab.write(lab.state(1, fields=fields))
    first, second = PathConnection(lab), PathConnection(lab)
    first.reset()
    second.send(b"stays open")
    assert _flow(lab).state == "established"
    second.close()


def test_same_port_again() -> None:
    """SYN with the ports of a connection that is closed is a new flow at once."""
    lab = PathLab(2, idle=IdleTimes(120, 3600))
    try:
        lab.write(lab.state(1))
        connection = PathConnection(lab)
        former, ports = _flow(lab).cookie, (connection.client.getsockname()[1], connection.server.getsockname()[1])
        connection.reset()
        until(lambda: _flow(lab).state == "closing", "the reset")
        lab.write(lab.state(2, listed=[1]))
        with lab.socket_at(lab.client, 4, socket.SOCK_STREAM) as client:
            client.bind((CLIENT[4], ports[0]))
            assert client.connect_ex((SERVER[4], ports[1])) != 0
        assert _flow(lab).target == 2
        assert _flow(lab).cookie != former
    finally:
        lab.close()


def test_removal(lab: PathLab) -> None:
    """`remove` leaves no device, no filter and no clsact of ours. Those of other programs stay."""
    names = ("appliances", "side1", "side2")
    lab.machine.run("tc", "qdisc", "add", "dev", "side1", "clsact")
    before = [lab.machine.run("tc", "qdisc", "show", "dev", name) for name in names]
    links = lab.machine.run("ip", "-o", "link")
    lab.write(lab.state(1))
    assert "clsact" in lab.machine.run("tc", "qdisc", "show", "dev", "side2")
    assert "gate0-012345678" in lab.machine.run("ip", "-o", "link")
    with lab.machine.entered():
        lab.path.remove()
        lab.path.remove()
    assert [lab.machine.run("tc", "qdisc", "show", "dev", name) for name in names] == before
    assert lab.machine.run("tc", "filter", "show", "dev", "side1", "ingress") == ""
    assert lab.machine.run("ip", "-o", "link") == links


def test_nothing_passes_by(lab: PathLab) -> None:
    """After the removal, this machine forwards no packet of the networks by its own routes."""
    lab.machine.set(ipv4__ip_forward="1")
    lab.machine.ip(*(f"route add 10.61.{number}.0/24 dev side{number}" for number in (1, 2)))
    lab.write(lab.state(1))
    _exchange(lab)
    with lab.machine.entered():
        lab.path.remove()
    before = _refused(lab)
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client, lab.socket_at(lab.server, 4, 2) as server:
        server.bind((SERVER[4], _PORT))
        client.sendto(b"x", (SERVER[4], _PORT))
        until(lambda: _refused(lab) > before, "the kernel to refuse the packet")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(10)


def _refused(lab: PathLab) -> int:
    """Return how many packets the machine did not forward because the device where they arrived does not."""
    names, values, *_ = [line.split() for line in lab.machine.run("cat", "/proc/net/snmp").splitlines()]
    return int(values[names.index("InAddrErrors")])


def test_restored(lab: PathLab) -> None:
    """`write` restores what another program has removed."""
    lab.write(lab.state(1))
    _exchange(lab)
    lab.machine.ip("link del gate0-012345678")
    lab.machine.run("tc", "qdisc", "del", "dev", "appliances", "clsact")
    lab.write(lab.state(1))
    _exchange(lab)


def test_two_homes(lab: PathLab) -> None:
    """The paths of two homes use one bridge and one appliance, each for its own networks."""
    lab.write(lab.state(1))
    other = lab.opened("ba9876543210")
    try:
        # The second home has the server's network only, by another endpoint.
        state = lab.state(1)
        endpoint = state.endpoints[1]
        first = replace(endpoint, attachments=endpoint.attachments[:1])
        second = replace(endpoint, id=9, attachments=endpoint.attachments[1:])
        lab.write(replace(state, endpoints={1: first}))
        with lab.machine.entered():
            other.write(replace(state, endpoints={1: second}))
        # The agent writes again within seconds, and so finds the other home.
        lab.write(replace(state, endpoints={1: first}))
        with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client, lab.socket_at(lab.server, 4, 2) as server:
            client.sendto(b"x", (CLIENT[4].replace("2", "9"), _PORT))
            server.sendto(b"x", (SERVER[4][:-1] + "9", _PORT))
        until(lambda: len(lab.appliances[0].seen) == 2, "the packets")
        assert {each.wrapped.endpoint for each in lab.appliances[0].seen} == {ENDPOINT, 9}
        assert [len(list(path.flows())) for path in (lab.path, other)] == [1, 1]
        with lab.machine.entered():
            other.remove()
        lab.write(state)
        _exchange(lab)
        # Neither has counted packets of the other one.
        assert (_drops(lab), other.counts().drops) == ({}, {})
    finally:
        other.close()
