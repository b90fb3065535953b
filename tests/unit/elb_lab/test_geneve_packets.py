"""The two decoders of captures, with packets made by hand from AWS's description."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from tests.support.geneve_packets import (
    AWS_CLASS,
    GenevePacket,
    aws_packet,
    decoded_by_scapy,
    decoded_by_tshark,
    tshark_obstacle,
)

Decoder = Callable[[Path], list[GenevePacket]]
INNER = [
    bytes(IP(src="198.18.0.2", dst="198.18.1.10") / UDP(sport=1, dport=2) / b"question"),
    bytes(IPv6(src="fd98::2", dst="fd98:1::10") / UDP(sport=1, dport=2) / b"question"),
]
EXPECTED = [
    GenevePacket(
        outer=("10.81.0.1", "10.81.0.11"),
        source_port=50000,
        port=6081,
        version=0,
        protocol_type=protocol_type,
        vni=0,
        flags=(False, False),
        options=(
            (AWS_CLASS, 1, "0123456789abcdef"),
            (AWS_CLASS, 2, "fedcba9876543210"),
            (AWS_CLASS, 3, "c0ffee01"),
        ),
        inner=inner,
    )
    for protocol_type, inner in ((0x0800, ("198.18.0.2", "198.18.1.10")), (0x86DD, ("fd98::2", "fd98:1::10")))
]


@pytest.fixture(params=["scapy", "tshark"])
def decoded(request: pytest.FixtureRequest) -> Decoder:
    """Each of the decoders."""
    if request.param == "tshark" and (obstacle := tshark_obstacle()):
        pytest.skip(obstacle)
    return {"scapy": decoded_by_scapy, "tshark": decoded_by_tshark}[request.param]


def written(path: Path, *packets: bytes) -> Path:
    """Write packets into a file of pcap, in frames of Ethernet."""
    parts = [struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for packet in packets:
        frame = bytes(12) + b"\x08\x00" + packet
        parts.append(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(parts))
    return path


def test_aws_packets_are_decoded(decoded: Decoder, tmp_path: Path) -> None:
    """Both programs read the same in them, and what is no GENEVE is left out."""
    other = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=6081, dport=53) / b"question")
    assert decoded(written(tmp_path / "pcap", aws_packet(INNER[0]), other, aws_packet(INNER[1]))) == EXPECTED


def test_another_packet_is_decoded_differently(decoded: Decoder, tmp_path: Path) -> None:
    """A difference in any field would be found."""
    packet = bytearray(aws_packet(INNER[0], cookie=5, endpoint=6))
    packet[29] = 0x40
    packet[33] = 1
    packet[50] = 7
    (found,) = decoded(written(tmp_path / "pcap", bytes(packet)))
    assert found.flags == (False, True)
    assert found.vni == 0x000100
    assert [kind for _, kind, _ in found.options] == [1, 7, 3]
    assert (found.option(1), found.option(3)) == (f"{6:016x}", f"{5:08x}")


@pytest.mark.skipif(bool(tshark_obstacle()), reason=tshark_obstacle())
def test_tshark_reports_a_mistake(tmp_path: Path) -> None:
    """A packet whose options are longer than it says is not accepted."""
    packet = bytearray(aws_packet(INNER[0]))
    packet[63] = 0x1F
    with pytest.raises(AssertionError):
        decoded_by_tshark(written(tmp_path / "pcap", bytes(packet)))
