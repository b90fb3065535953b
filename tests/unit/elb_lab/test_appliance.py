"""The appliance of the laboratory, with packets made by hand and by scapy."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from tests.support.geneve_packets import AWS_CLASS, aws_packet, checksum
from tests.support.lab import LAB

V4, V6 = IP(src="198.18.0.2", dst="198.18.1.10"), IPv6(src="fd98::2", dst="fd98:1::10")
INNER = {
    "tcp4": V4 / TCP(sport=40000, dport=80) / b"GET / HTTP/1.1",
    "udp4": V4 / UDP(sport=40000, dport=53) / b"question",
    "icmp4": V4 / ICMP() / b"echo",
    "tcp6": V6 / TCP(sport=40000, dport=80) / b"GET / HTTP/1.1",
    "udp6": V6 / UDP(sport=40000, dport=53) / b"question",
}


@pytest.fixture
def appliance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An appliance that drops what contains `attack`."""
    monkeypatch.syspath_prepend(str(LAB / "appliance"))
    return importlib.import_module("appliance").Appliance(b"attack")


@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_a_packet_comes_back_with_its_header(inner: Any, appliance: Any) -> None:
    """Only the outer addresses are swapped. The ports, the options and the inner packet stay, byte for byte."""
    packet = aws_packet(bytes(inner), outer=("10.81.0.1", "10.81.0.11"), source_port=51234)
    returned, receiver = appliance.answer(packet)
    expected = aws_packet(bytes(inner), outer=("10.81.0.11", "10.81.0.1"), source_port=51234)
    assert returned == expected
    assert receiver == "10.81.0.1"
    assert appliance.counts == {"received": 1, "returned": 1}


@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_packets_of_scapy(inner: Any, appliance: Any) -> None:
    """Another encoder makes the same packet. Its UDP checksum, which counts the inner packet, becomes none."""
    options = [
        GeneveOptions(classid=AWS_CLASS, type=1, data=struct.pack("!Q", 0x0123456789ABCDEF)),
        GeneveOptions(classid=AWS_CLASS, type=2, data=struct.pack("!Q", 0xFEDCBA9876543210)),
        GeneveOptions(classid=AWS_CLASS, type=3, data=struct.pack("!I", 0xC0FFEE01)),
    ]
    proto = 0x86DD if IPv6 in inner else 0x0800
    packet = IP(src="10.81.0.1", dst="10.81.0.11") / UDP(sport=50000, dport=6081) / GENEVE(proto=proto, options=options)
    returned, _ = appliance.answer(bytes(packet / inner))
    assert returned == aws_packet(bytes(inner), outer=("10.81.0.11", "10.81.0.1"))
    decoded = IP(returned)
    assert (decoded.src, decoded.dst, decoded[UDP].sport, decoded[UDP].dport) == (
        "10.81.0.11",
        "10.81.0.1",
        50000,
        6081,
    )
    assert [(each.classid, each.type, each.data) for each in decoded[GENEVE].options] == [
        (each.classid, each.type, each.data) for each in options
    ]


@pytest.mark.parametrize("inner", [V4, V6], ids=["ipv4", "ipv6"])
def test_the_bad_text_is_dropped(inner: Any, appliance: Any) -> None:
    """It is found anywhere in the inner packet, and others are returned."""
    assert appliance.answer(aws_packet(bytes(inner / TCP(dport=80) / b"POST / an attack here"))) is None
    assert appliance.answer(aws_packet(bytes(inner / TCP(dport=80) / b"POST / an attac k here"))) is not None
    assert appliance.counts == {"received": 2, "dropped": 1, "returned": 1}


def test_flows_are_counted_by_direction(appliance: Any) -> None:
    """A flow has a row for each direction, with its endpoint and its cookies."""
    back = IP(src="198.18.1.10", dst="198.18.0.2") / TCP(sport=80, dport=40000)
    for inner in (INNER["tcp4"], INNER["tcp4"], back, INNER["icmp4"]):
        appliance.answer(aws_packet(bytes(inner), cookie=7))
    row = {"endpoint": "0123456789abcdef", "protocol": 6, "cookies": ["00000007"]}
    there = {"source": "198.18.0.2", "destination": "198.18.1.10"}
    assert appliance.described()["flows"] == [
        {**row, **there, "packets": 2, "ports": (40000, 80)},
        {**row, "source": "198.18.1.10", "destination": "198.18.0.2", "packets": 1, "ports": (80, 40000)},
        {**row, **there, "protocol": 1, "packets": 1, "ports": None},
    ]


def test_a_later_fragment_has_no_ports(appliance: Any) -> None:
    """What is at their place is data."""
    appliance.answer(aws_packet(bytes(IP(src="10.0.0.1", dst="10.0.0.2", frag=185, proto=17) / b"data of a fragment")))
    assert appliance.described()["flows"][0]["ports"] is None


GOOD = bytes(INNER["tcp4"])
CHANGES: dict[str, Callable[[bytearray], object]] = {
    "another version of GENEVE": lambda packet: packet.__setitem__(28, packet[28] | 0x40),
    "Ethernet inside": lambda packet: packet.__setitem__(slice(30, 32), b"\x65\x58"),
    "another class": lambda packet: packet.__setitem__(slice(36, 38), b"\x01\x09"),
    "an unknown critical option": lambda packet: packet.__setitem__(slice(36, 39), b"\x01\x09\x81"),
    "a type twice": lambda packet: packet.__setitem__(50, 1),
    "an option that is cut off": lambda packet: packet.__setitem__(63, 2),
    "an option less": lambda packet: packet.__setitem__(28, 6),
    "no option": lambda packet: packet.__setitem__(28, 0),
    "no inner packet of IP": lambda packet: packet.__setitem__(68, 0x70),
    "no inner packet": lambda packet: packet.__delitem__(slice(68, None)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_no_gateway_sends_is_dropped(change: Callable[[bytearray], object], appliance: Any) -> None:
    """It is counted, and nothing is returned."""
    packet = bytearray(aws_packet(GOOD))
    change(packet)
    assert appliance.answer(bytes(packet)) is None
    assert appliance.counts == {"received": 1, "malformed": 1}


@pytest.mark.parametrize("length", range(20, 36))
def test_a_packet_that_is_too_short_is_ignored(length: int, appliance: Any) -> None:
    """The raw socket sees every UDP packet of the machine."""
    assert appliance.answer(aws_packet(GOOD)[:length]) is None
    assert not appliance.counts["returned"]


def test_other_ports_are_ignored(appliance: Any) -> None:
    """They are those of other programs."""
    assert appliance.answer(bytes(IP() / UDP(sport=6081, dport=53) / b"question of another program")) is None
    assert not appliance.counts


def test_the_packet_made_by_hand_has_68_bytes_of_headers() -> None:
    """AWS: 68 bytes more than the inner packet. The outer header has a valid checksum."""
    packet = aws_packet(GOOD)
    assert len(packet) == len(GOOD) + 68
    assert checksum(packet[:20]) == 0
