"""What the path of gateway packets writes into the kernel's maps, and reads from them. Nothing is loaded."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import pack, unpack

import pytest

from pipeline.balancer.gateway.flow_key import FlowKey
from pipeline.balancer.gateway.gateway_state import (
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.path import records
from pipeline.balancer.gateway.path.faults import faults
from pipeline.balancer.gateway.path.gateway_path import OBJECT
from pipeline.balancer.gateway.path.interface import Interface
from pipeline.balancer.gateway.path.object_file import ObjectFile
from pipeline.balancer.gateway.path.records import DROP_REASONS, FlowAge, IdleTimes, PoolRecord
from pipeline.balancer.gateway.path.written_state import entries
from pipeline.base.errors import BalancerFault

_SOURCE = OBJECT.with_suffix(".c")
_TARGET = GatewayTarget(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1"), 3)
_NEAR = GatewayAttachment(0xA1, 4, (IPv4Network("10.1.0.0/16"), IPv6Network("fd01::/64")))
_FAR = GatewayAttachment(0xB2, 5, (IPv4Network("10.1.9.0/24"),))
_STATE = GatewayState(
    {7: _TARGET}, {1: GatewayPool(5, 350, (7,), frozenset({8}))}, {2: GatewayEndpoint(0x1122, 1, (_NEAR, _FAR))}
)
_INTERFACES = {
    3: Interface("docker0", 1500, b"\x02bridg"),
    4: Interface("near", 8500, b"\x02near0"),
    5: Interface("far", 8500, b"\x02far00"),
}


def _value(target: int = 7, seen: int = 0) -> bytes:
    return pack("=QQQI4sII", 5_500_000_000, 10, 2000, target, b"\0\0\1\2", seen, 0)


def _key(endpoint: int, low: bytes, high: bytes) -> bytes:
    return pack("=I16s16s", endpoint, low, high) + pack("!HHI", 80, 4000, 6)


def test_object_is_of_source() -> None:
    """The object file was built from the source. If not, run setup/gate.sh."""
    assert ObjectFile(OBJECT).source == hashlib.sha256(_SOURCE.read_bytes()).hexdigest()


def test_object() -> None:
    """The object file has the four programs, and each refers to its maps by their descriptors."""
    built = ObjectFile(OBJECT)
    shapes = built.maps()
    assert (shapes["flows"].key, shapes["flows"].value) == (44, 40)
    numbers = {name: number for number, name in enumerate(shapes, 100)}
    programs = built.programs(numbers)
    assert set(programs) == {"to_appliance", "to_neighbour", "from_appliance", "to_network"}
    used = {
        name: {value for code, registers, value in _instructions(each) if code == 0x18 and registers >> 4 == 1}
        for name, each in programs.items()
    }
    assert used["to_neighbour"] == {numbers["links"], numbers["drops"]}
    assert set().union(*used.values()) == set(numbers.values())


def _instructions(code: bytes) -> list[tuple[int, int, int]]:
    return [(code[at], code[at + 1], unpack("<i", code[at + 4 : at + 8])[0]) for at in range(0, len(code), 8)]


def test_reasons() -> None:
    """The source and the state name the same reasons in the same order."""
    found = re.search(r"enum reason \{(.*?)\}", _SOURCE.read_text(), re.DOTALL)
    assert found is not None
    assert tuple(each.strip().lower() for each in found[1].split(",")) == DROP_REASONS


def test_sizes() -> None:
    """Entries have the sizes that the maps have."""
    shapes, written = ObjectFile(OBJECT).maps(), entries(_STATE, _INTERFACES)
    for name, each in written.items():
        assert each
        assert {(len(key), len(value)) for key, value in each.items()} == {(shapes[name].key, shapes[name].value)}
    pool = PoolRecord.of(_STATE.pools[1], IdleTimes(120, 5), 0)
    assert len(pool.packed()) == shapes["pools"].value
    assert PoolRecord.unpacked(pool.packed()) == pool


def test_missing_device() -> None:
    """What is at a device that is gone is left out, and the rest is written."""
    written = entries(_STATE, {number: each for number, each in _INTERFACES.items() if number != 4})
    assert len(written["attachments"]) == len(written["origins"]) == len(written["routes"]) == 1
    without_targets = entries(_STATE, {4: _INTERFACES[4]})
    assert (without_targets["targets"], without_targets["links"]) == ({}, {})


def test_next_hop() -> None:
    """A target behind a router is reached by the router."""
    assert records.link(_TARGET)[4:8] == IPv4Address("10.0.0.2").packed
    assert records.link(replace(_TARGET, next_hop=IPv4Address("10.0.0.9")))[4:8] == IPv4Address("10.0.0.9").packed


def test_flow() -> None:
    """A flow is read with its addresses, ports, cookie and time."""
    found = records.flow(_key(2, b"\n\0\0\1".ljust(16, b"\0"), b"\n\0\0\2".ljust(16, b"\0")), _value())
    assert found.key == FlowKey(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), 6, 80, 4000)
    assert (found.endpoint, found.target, found.cookie, found.last_seen) == (2, 7, 0x102, 5.5)
    assert (found.state, found.packets, found.bytes) == ("new", 10, 2000)


def test_flow_of_ipv6() -> None:
    """The highest bit of the endpoint's number tells the family."""
    found = records.flow(_key(2 | 1 << 31, bytes(15) + b"\1", bytes(15) + b"\2"), _value())
    assert (found.endpoint, found.key.low, found.key.high) == (2, IPv6Address("::1"), IPv6Address("::2"))


@pytest.mark.parametrize(
    ("seen", "state"),
    [(1, "new"), (2, "new"), (3, "established"), (7, "established"), (15, "closing"), (17, "closing")],
)
def test_flow_state(seen: int, state: str) -> None:
    """FIN of one side leaves a flow open. FIN of both, or RST, closes it."""
    assert records.flow(_key(2, bytes(16), bytes(16)), _value(seen=seen)).state == state


def test_flow_age() -> None:
    """The part that `expire` reads says the same as the whole flow."""
    for endpoint, seen in ((2, 3), (2 | 1 << 31, 17)):
        key, value = _key(endpoint, bytes(16), bytes(16)), _value(seen=seen)
        whole, age = records.flow(key, value), FlowAge.of(key, value)
        assert age == (whole.endpoint, whole.target, whole.last_seen, True, whole.state == "closing")


def test_without_target() -> None:
    """A flow that chooses again keeps everything else."""
    assert records.without_target(_value()) == _value(target=0)


def test_counts() -> None:
    """Counts of processors are added up."""
    assert records.traffic(pack("=6Q", 1, 2, 3, 10, 20, 30)) == (11, 22, 33)
    assert records.total(pack("=3Q", 1, 2, 3)) == 6


@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        (errno.EPERM, "gateway: no permission to load", "CAP_BPF"),
        (errno.EINVAL, "gateway: cannot load: Invalid argument", "Linux 5.10"),
        (errno.ENODEV, "gateway: cannot load: No such device", None),
    ],
)
def test_faults(number: int, message: str, hint: str | None) -> None:
    """What the kernel refuses is told with what to do about it."""
    with pytest.raises(BalancerFault) as caught, faults("load"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(message)
    assert (hint or "") in (caught.value.hint or "")
