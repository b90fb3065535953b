"""One flow through an appliance: by the kernel's programs, by plain Python, and on a plain route without an appliance.

The appliance costs next to nothing: rules of nftables in its namespace send each packet back.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.process import cpu
from bench.python_gateway import DEVICE
from bench.results import Results
from pipeline.balancer.gateway.choice import slot_table
from pipeline.balancer.gateway.gateway_state import (
    GatewayAttachment,
    GatewayEndpoint,
    GatewayPool,
    GatewayState,
    GatewayTarget,
)
from pipeline.balancer.gateway.path.gateway_path import GatewayPath
from pipeline.balancer.gateway.path.interface import leave_nothing_to_hardware
from tests.support.namespace import Namespace
from tests.support.path_lab import attach

_HOME = "be9c0000be9c"
_HOST, _APPLIANCE, _SERVER = "10.61.3.1", "10.61.3.11", "10.61.2.2"
_MAC, _OTHER_MAC = "02:61:03:00:00:01", "02:61:03:00:00:11"
_MTU, _FLOWS = 9000, 100_000
_PLAIN, _PYTHON, _KERNEL = "plain route, no appliance", "plain Python", "Penstock"
# Packets come back to the sender with their ports as they were, as appliances do it.
_REFLECT = f"""table netdev appliance {{
  chain reflect {{
    type filter hook ingress device "eth0" priority 0;
    udp dport 6081 ether daddr set {_MAC} ether saddr set {_OTHER_MAC} ip daddr set {_HOST} \\
      ip saddr set {_APPLIANCE} fwd to "eth0"
  }}
}}"""


class Sample(NamedTuple):
    """What one run had. `cost`: CPU seconds of sender, receiver, gateway and the kernel's threads per GB or million."""

    rate: float
    cost: float


class Held(NamedTuple):
    """Flows that are open, MB of the kernel's memory for all maps, and the seconds of a look at all flows."""

    flows: int
    memory: float
    look: float


class GatewayMachines(NamedTuple):
    """Client, machine of the gateway, server and appliance."""

    client: Namespace
    machine: Namespace
    server: Namespace
    appliance: Namespace


def measure(extent: Extent) -> Results:
    """Measure the ways in turn."""
    rounds, seconds = extent.choose((7, 3), (3, 2))
    found = dict[tuple[str, str], list[Sample]]()
    with _machines() as machines:
        for mtu, protocol in ((1500, "tcp"), (8500, "tcp"), (1500, "udp")):
            _set_mtu(machines, mtu)
            if protocol == "udp":
                with machines.client.entered():
                    # Datagrams that one call has sent leave as single packets.
                    leave_nothing_to_hardware("net0")
            for turn in range(rounds):
                for way in _rotated([*_WAYS], turn):
                    with _WAYS[way](machines) as pids:
                        sample = _sample(machines, protocol, seconds, pids)
                    what = f"TCP, MTU {mtu}" if protocol == "tcp" else "UDP, 18 bytes"
                    print(f"{what}, {way}: {sample.rate:.2f}, CPU {sample.cost:.2f}", file=sys.stderr)
                    found.setdefault((what, way), []).append(sample)
        held = _held(machines)
    return Results.judged(
        "One flow through an appliance of a gateway load balancer",
        f"{rounds} rounds of {seconds} s, in turn: medians, and the medians of the ratios within a round to a plain "
        "route through the same namespaces without an appliance. TCP: Gbit/s and CPU seconds per GB. UDP: thousand "
        "datagrams a second that arrived, and CPU seconds per million. The CPU time of the sender, the receiver, the "
        "forwarder and the kernel's threads for packets is counted. "
        f"{held.flows:,} open flows: {held.memory:.0f} MB of the kernel's memory for all maps. "
        f"To look for idle ones takes the agent {held.look:.2f} s.",
        ("flow", "way", "rate", "relative", "CPU", "relative"),
        [_row(found, what, way) for what, way in found],
        [
            Figure(f"rate of plain Python per Penstock's, {what}", _relative(found, what, _PYTHON, _KERNEL, 0), 0.5)
            for what in dict.fromkeys(what for what, _ in found)
        ]
        + [Figure(f"MB of maps with {_FLOWS:,} flows", held.memory * _FLOWS / held.flows, 100)],
    )


def _row(found: dict[tuple[str, str], list[Sample]], what: str, way: str) -> tuple[str, ...]:
    rate, cost = (statistics.median(each[at] for each in found[what, way]) for at in (0, 1))
    ratios = (_relative(found, what, way, _PLAIN, at) for at in (0, 1))
    return what, way, f"{rate:.2f}", f"{next(ratios):.2f}", f"{cost:.2f}", f"{next(ratios):.1f}"


def _relative(found: dict[tuple[str, str], list[Sample]], what: str, way: str, base: str, at: int) -> float:
    return median_ratio([each[at] for each in found[what, way]], [each[at] for each in found[what, base]])


def _rotated(ways: list[str], turn: int) -> list[str]:
    start = turn % len(ways)
    return ways[start:] + ways[:start]


@contextmanager
def _machines() -> Iterator[GatewayMachines]:
    with ExitStack() as stack:
        machines = GatewayMachines(*(stack.enter_context(closing(Namespace())) for _ in range(4)))
        client, machine, server, appliance = machines
        for number, place in enumerate((client, server), 1):
            attach(machine, place, f"side{number}", number, _MTU)
            machine.ip(f"addr add 10.61.{number}.1/24 dev side{number}")
        machine.ip(
            f"link add appliances address {_MAC} mtu {_MTU} type veth"
            f" peer name eth0 address {_OTHER_MAC} mtu {_MTU} netns {appliance.pid}",
            "link set appliances up",
            f"addr add {_HOST}/24 dev appliances",
        )
        appliance.ip("link set eth0 up", f"addr add {_APPLIANCE}/24 dev eth0")
        appliance.nft(_REFLECT)
        machine.set(ipv4__ip_forward="1", ipv4__conf__all__rp_filter="0", ipv4__conf__default__rp_filter="0")
        yield machines


def _set_mtu(machines: GatewayMachines, mtu: int) -> None:
    for number, place in enumerate((machines.client, machines.server), 1):
        place.ip(f"link set net0 mtu {mtu}")
        machines.machine.ip(f"link set side{number} mtu {mtu}")


@contextmanager
def _plain(_machines: GatewayMachines) -> Iterator[list[int]]:
    yield []


@contextmanager
def _python(machines: GatewayMachines) -> Iterator[list[int]]:
    command = [sys.executable, "-m", "bench.python_gateway", _APPLIANCE, _HOST]
    with machines.machine.entered():
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        machines.machine.ip(
            f"link set {DEVICE} up mtu {_MTU}",
            f"route add default dev {DEVICE} table 100",
            *(f"rule add iif side{number} lookup 100" for number in (1, 2)),
        )
        machines.machine.run("sysctl", "-qw", f"net.ipv4.conf.{DEVICE}.rp_filter=0")
        try:
            yield [process.pid]
        finally:
            machines.machine.ip(*(f"rule del iif side{number} lookup 100" for number in (1, 2)))
            process.kill()
            process.wait()


@contextmanager
def _kernel(machines: GatewayMachines) -> Iterator[list[int]]:
    with machines.machine.entered():
        path = GatewayPath(_HOME)
        try:
            path.write(_state(machines.machine))
            yield []
        finally:
            path.remove()
            path.close()


_WAYS: dict[str, Callable[[GatewayMachines], AbstractContextManager[list[int]]]] = {
    _PLAIN: _plain,
    _PYTHON: _python,
    _KERNEL: _kernel,
}


def _state(machine: Namespace) -> GatewayState:
    sides = enumerate((1, 2), 1)
    attachments = tuple(
        GatewayAttachment(number, _ifindex(machine, f"side{side}"), (IPv4Network(f"10.61.{side}.0/24"),))
        for number, side in sides
    )
    target = GatewayTarget(IPv4Address(_APPLIANCE), IPv4Address(_HOST), _ifindex(machine, "appliances"))
    pool = GatewayPool(5, 350, slot_table({1: "appliance"}))
    return GatewayState({1: target}, {1: pool}, {1: GatewayEndpoint(1, 1, attachments)})


def _ifindex(machine: Namespace, name: str) -> int:
    with machine.entered():
        return socket.if_nametoindex(name)


def _sample(machines: GatewayMachines, protocol: str, seconds: int, pids: list[int]) -> Sample:
    before = _kernel_time() + sum(map(cpu, pids))
    with machines.server.entered():
        receiver = _started("receive", protocol, seconds)
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    with machines.client.entered():
        sender = _started("send", protocol, seconds)
    _, sent_cost = _ended(sender)
    received, received_cost = _ended(receiver)
    cost = _kernel_time() + sum(map(cpu, pids)) - before + sent_cost + received_cost
    unit, rate = (1e9, 8e-9) if protocol == "tcp" else (1e6, 1e-3)
    return Sample(received * rate / seconds, cost / (received / unit))


def _started(side: str, protocol: str, seconds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.gateway_load", side, protocol, _SERVER, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Return the number that a process has printed, and its CPU time in seconds."""
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return int(printed), used.ru_utime + used.ru_stime


def _kernel_time() -> float:
    """Return the CPU time so far of the kernel's threads for packets, in seconds."""
    return sum(map(cpu, _kernel_threads()))


@cache
def _kernel_threads() -> list[int]:
    found = list[int]()
    for name in Path("/proc").glob("[0-9]*/comm"):
        # Processes end meanwhile. These threads do not.
        with suppress(OSError):
            if name.read_text().startswith("ksoftirqd/"):
                found.append(int(name.parent.name))
    return found


def _held(machines: GatewayMachines) -> Held:
    """Begin flows, and return how many there are, with the kernel's memory for all maps."""
    with machines.machine.entered():
        path = GatewayPath(_HOME)
    try:
        with machines.machine.entered():
            path.write(_state(machines.machine))
        chain = "netdev appliance reflect"
        machines.appliance.nft(f"flush chain {chain}; add rule {chain} udp dport 6081 drop")
        with machines.client.entered():
            senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sender in senders:
            with sender:
                for port in range(1, _FLOWS // 2 + 1):
                    sender.sendto(b"x", (_SERVER, port))
        flows, begun = sum(1 for _ in path.flows()), time.monotonic()
        path.expire(begun)
        return Held(flows, _map_memory() / 1e6, time.monotonic() - begun)
    finally:
        with machines.machine.entered():
            path.remove()
        path.close()


def _map_memory() -> int:
    """Return the bytes that the kernel counts for the maps of this process."""
    texts = [name.read_text() for name in Path("/proc/self/fdinfo").iterdir() if name.exists()]
    return sum(
        int(found[1]) for text in texts if "map_type" in text and (found := re.search(r"memlock:\s*(\d+)", text))
    )
