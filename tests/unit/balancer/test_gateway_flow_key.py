"""Keys of flows: both directions, fragments and errors have one, in both families."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.gateway.flow_key import ICMPV6, TCP, UDP, FlowFields, FlowKey, murmur3
from tests.support.inner_packets import ICMP, icmp, ip, tcp, udp

V4 = ("198.18.0.5", "198.18.1.10")
V6 = ("fd98::5", "fd98:1::10")
PORTS = (40000, 443)
ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535))
pairs = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)


@given(pairs, st.integers(0, 255), ports, st.sampled_from([5, 3, 2]))
def test_both_directions_have_one_key(
    pair: tuple[object, object], protocol: int, numbers: tuple[int, int], fields: FlowFields
) -> None:
    one, other = (ip_address(str(each)) for each in pair)
    there = FlowKey.of(one, other, protocol, numbers).reduced(fields)
    back = FlowKey.of(other, one, protocol, numbers[::-1]).reduced(fields)
    assert there == back
    assert there.hash == back.hash
    assert len(there.packed()) == 40


@pytest.mark.parametrize("ends", [V4, V6])
def test_packets_of_tcp_and_udp_have_ports(ends: tuple[str, str]) -> None:
    source, target = (ip_address(each) for each in ends)
    assert FlowKey.of_packet(tcp(*ends, PORTS)) == FlowKey.of(source, target, TCP, PORTS)
    assert FlowKey.of_packet(udp(*ends, PORTS)) == FlowKey.of(source, target, UDP, PORTS)
    assert FlowKey.of_packet(tcp(*ends[::-1], PORTS[::-1])) == FlowKey.of(source, target, TCP, PORTS)


@pytest.mark.parametrize(("ends", "number"), [(V4, ICMP), (V6, ICMPV6)])
def test_packets_of_icmp_have_none(ends: tuple[str, str], number: int) -> None:
    found = FlowKey.of_packet(icmp(*ends, 128 if number == ICMPV6 else 8))
    assert found == FlowKey.of(*map(ip_address, ends), number)


@pytest.mark.parametrize("fragment", [0x2000, 0x2001, 0x0010])
def test_fragments_of_a_packet_have_one_key(fragment: int) -> None:
    """The first one has the ports, and the others have not."""
    whole = FlowKey.of(*map(ip_address, V4), UDP)
    assert FlowKey.of_packet(ip(*V4, UDP, b"\x9c\x40\x00\x35" + b"data", fragment=fragment)) == whole
    header = struct.pack("!BBHI", UDP, 0, fragment & 0x1FFF, 7)
    assert FlowKey.of_packet(ip(*V6, 44, header + b"data")) == FlowKey.of(*map(ip_address, V6), UDP)


def test_a_packet_that_must_not_be_fragmented_is_whole() -> None:
    assert FlowKey.of_packet(ip(*V4, UDP, struct.pack("!HH", *PORTS), fragment=0x4000)).low_port == PORTS[0]


@pytest.mark.parametrize(("ends", "kinds"), [(V4, (3, 11, 12)), (V6, (1, 2, 3, 4))])
def test_an_error_is_part_of_the_flow_that_it_reports_on(ends: tuple[str, str], kinds: tuple[int, ...]) -> None:
    """It may come from a machine on the way."""
    router = "fd98:2::1" if ":" in ends[0] else "198.18.9.1"
    about = tcp(*ends, PORTS)
    for kind in kinds:
        assert FlowKey.of_packet(icmp(router, ends[0], kind, about)) == FlowKey.of_packet(about)


def test_an_error_about_nothing_is_a_flow_of_its_own() -> None:
    assert FlowKey.of_packet(icmp(*V4, 3, b"\x45")) == FlowKey.of(*map(ip_address, V4), ICMP)


def test_extensions_of_ipv6_are_skipped() -> None:
    """Four of them, as the kernel's programs do."""
    inner = struct.pack("!HH", *PORTS) + bytes(16)
    for number in range(1, 5):
        chain = b"".join(bytes([TCP if each == number - 1 else 60, 0]) + bytes(6) for each in range(number))
        assert FlowKey.of_packet(ip(*V6, 60, chain + inner)) == FlowKey.of(*map(ip_address, V6), TCP, PORTS)
    chain = bytes([60, 0, *bytes(6)] * 4) + bytes([TCP, 0, *bytes(6)])
    assert FlowKey.of_packet(ip(*V6, 60, chain + inner)) == FlowKey.of(*map(ip_address, V6), 60)


@pytest.mark.parametrize("packet", [b"", b"\x45" * 19, b"\x60" * 39, b"\x00" * 60])
def test_what_is_no_packet(packet: bytes) -> None:
    with pytest.raises(ValueError, match="not a packet of IPv4 or IPv6"):
        FlowKey.of_packet(packet)


@given(st.binary(max_size=100))
def test_any_bytes_have_a_key_or_an_error(data: bytes) -> None:
    """Nothing else is raised, whatever a network sends."""
    with contextlib.suppress(ValueError):
        assert FlowKey.of_packet(data).hash < 2**32


def test_hash_is_murmur3() -> None:
    """Its results for these were computed by the library mmh3 5.3.1."""
    assert murmur3(bytes(40)) == 0xC2067AE9
    assert murmur3(bytes(range(40))) == 0xCE736BD7
    assert FlowKey.of(ip_address("10.0.0.2"), ip_address("10.0.0.1"), TCP, (80, 1234)).hash == 0xB33A7E8F


def test_fields_of_stickiness() -> None:
    key = FlowKey.of(*map(ip_address, V4), TCP, PORTS)
    assert key.reduced(3) == FlowKey.of(*map(ip_address, V4), TCP)
    assert key.reduced(2) == FlowKey.of(*map(ip_address, V4), 0)
