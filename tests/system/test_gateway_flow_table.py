"""Which flows the path of packets keeps: those of connections, whatever others send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

import pytest

from pipeline.balancer.gateway.gateway_state import FlowRecord
from pipeline.balancer.gateway.path.bpf import MapShape
from pipeline.balancer.gateway.path.gateway_path import OBJECT
from pipeline.balancer.gateway.path.object_file import ObjectFile
from tests.support.geneve_packets import checksum
from tests.support.namespace import obstacle
from tests.support.path_lab import CLIENT, SERVER, PathLab
from tests.support.waiting import until
from tests.system.path_connection import PathConnection

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
_SYN, _RST, _ACK = 2, 4, 16
_TCP = socket.IPPROTO_TCP
_ROOM, _PORT = 512, 9000
# Without ARP, both ends of the client's cable have one address.
_FRAME = bytes.fromhex("026100000001026100000001") + b"\x08\0"


class _Narrow(ObjectFile):
    """The programs with little room for flows."""

    def __init__(self, **room: int) -> None:
        super().__init__(OBJECT)
        self._room = room

    def maps(self) -> Mapping[str, MapShape]:
        found = super().maps()
        return {**found, **{name: found[name]._replace(entries=count) for name, count in self._room.items()}}


@pytest.fixture(name="lab")
def _lab() -> Iterator[PathLab]:
    lab = PathLab(1)
    try:
        yield lab
    finally:
        lab.close()


def _narrow(lab: PathLab, **room: int) -> None:
    lab.path.close()
    lab.path = lab.opened(built=_Narrow(**room))
    lab.write(lab.state(1))


def _ipv4(protocol: int, source: str, target: str, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _segment(source: tuple[str, int], target: tuple[str, int], flags: int) -> bytes:
    head = struct.pack("!HHIIBBHHH", source[1], target[1], 99, 99, 0x50, flags, 1000, 0, 0)
    pseudo = socket.inet_aton(source[0]) + socket.inet_aton(target[0]) + struct.pack("!HH", _TCP, len(head))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    return _ipv4(_TCP, source[0], target[0], head)


def _send(lab: PathLab, packets: Iterable[bytes]) -> None:
    """Send packets from the client's network as they are."""
    with lab.client.entered():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        opened.bind(("net0", 0))
    with opened:
        for packet in packets:
            opened.send(_FRAME + packet)


@pytest.mark.parametrize("is_answered", [True, False])
def test_flood(lab: PathLab, is_answered: bool) -> None:
    """Beginnings of connections, of more flows than there is room for, push out no open connection."""
    _narrow(lab, fresh=_ROOM)
    idle = [PathConnection(lab) for _ in range(10)]
    with lab.socket_at(lab.server, 4, socket.SOCK_STREAM) as listening:
        listening.bind((SERVER[4], 0))
        listening.listen(_ROOM)
        port = listening.getsockname()[1] if is_answered else 9
        sources = [(f"10.61.1.{host}", number) for host in range(100, 140) for number in range(2000, 2100)]
        _send(lab, (_segment(source, (SERVER[4], port), _SYN) for source in sources))
        # A busy kernel may lose some of them.
        until(lambda: _began(lab) > 3 * _ROOM, "the flood")
    assert len(list(lab.path.flows())) <= _ROOM + len(idle)
    for connection in idle:
        connection.send(b"still open")
        connection.close()


def _began(lab: PathLab) -> int:
    return sum(each.flows for each in lab.path.counts().traffic.values())


def test_too_many_connections(lab: PathLab) -> None:
    """Connections that are more than there is room for are carried too. They are those that a flood may push out."""
    _narrow(lab, flows=2)
    opened = [PathConnection(lab) for _ in range(5)]
    for _ in range(2):
        for connection in opened:
            connection.send(b"goes on")
    assert len(list(lab.path.flows())) == len(opened)
    assert {each.state for each in lab.path.flows()} == {"established"}
    for connection in opened:
        connection.close()


def test_read_while_it_moves(lab: PathLab) -> None:
    """A flow that both ends begin to take part in, while the flows are read, is not left out."""
    lab.write(lab.state(1))
    connection = PathConnection(lab)
    with lab.socket_at(lab.client, 4, socket.SOCK_DGRAM) as client, lab.socket_at(lab.server, 4, 2) as server:
        server.bind((SERVER[4], _PORT))
        client.connect((SERVER[4], _PORT))
        client.send(b"a question")
        server.sendto(b"an answer", server.recvfrom(100)[1])
        client.recv(100)
        reading = lab.path.flows()
        first = next(reading)
        client.send(b"goes on")
        server.recv(100)
        assert {each.key.protocol for each in (first, *reading)} == {_TCP, socket.IPPROTO_UDP}
    connection.close()


def test_report_of_no_flow(lab: PathLab) -> None:
    """An error of ICMP about a connection that has no flow makes none, so what follows is dropped as well."""
    lab.write(lab.state(1))
    ends = (CLIENT[4], 4444), (SERVER[4], 80)
    report = struct.pack("!BBHI", 3, 1, 0, 0) + _segment(ends[1], ends[0], _ACK)[:28]
    report = report[:2] + struct.pack("!H", checksum(report)) + report[4:]
    _send(lab, [_ipv4(socket.IPPROTO_ICMP, CLIENT[4], SERVER[4], report), _segment(*ends, _ACK)])
    until(lambda: lab.path.counts().drops == {(1, "no_flow"): 2}, "the drops")
    assert list(lab.path.flows()) == []
    assert lab.appliances[0].seen == []


def test_forged_reset(lab: PathLab) -> None:
    """A connection that goes on after a forged RST is open as before, with its whole idle time."""
    lab.write(lab.state(1))
    connection = PathConnection(lab)
    ends = connection.client.getsockname(), connection.server.getsockname()
    _send(lab, [_segment(*ends, _RST)])
    until(lambda: _flow(lab).state == "closing", "the forged RST")
    connection.send(b"goes on")
    assert _flow(lab).state == "established"
    assert lab.path.expire(_flow(lab).last_seen + 345) == {(1, 1): 1}
    connection.close()


def _flow(lab: PathLab) -> FlowRecord:
    (found,) = lab.path.flows()
    return found
