"""A client, a balancer's machine and the servers behind it in network namespaces, joined by cables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

from tests.support.namespace import Namespace

BALANCER = "10.61.1.1"
SERVERS = tuple(f"10.61.2.{number}" for number in range(10, 110))


class FlowMachines(NamedTuple):
    """The namespaces. A thread that has entered one starts its programs there."""

    client: Namespace
    balancer: Namespace
    far: Namespace


@contextmanager
def flow_machines() -> Iterator[FlowMachines]:
    """Make the machines. The client reaches the servers through the balancer's machine only."""
    with ExitStack() as stack:
        machines = FlowMachines(*(stack.enter_context(closing(Namespace())) for _ in range(3)))
        for net, machine in ((1, machines.client), (2, machines.far)):
            machines.balancer.ip(
                f"link add cable{net} type veth peer name cable netns {machine.pid}",
                f"address add 10.61.{net}.1/24 dev cable{net}",
                f"link set cable{net} up",
            )
        machines.client.ip("link set cable up", "address add 10.61.1.2/24 dev cable")
        machines.far.ip("link set cable up", *(f"address add {address}/24 dev cable" for address in SERVERS))
        for net, machine in ((1, machines.client), (2, machines.far)):
            machine.ip(f"route add default via 10.61.{net}.1")
        machines.balancer.set(ipv4__ip_forward="1")
        for machine in machines:
            # Tens of thousands of connections a second would use up the ports of the last minute.
            machine.set(ipv4__ip_local_port_range="1024 65535", ipv4__tcp_tw_reuse="1")
            # And those that ended in the last two minutes would fill the kernel's table of connections.
            machine.set(netfilter__nf_conntrack_tcp_timeout_time_wait="5")
        yield machines
