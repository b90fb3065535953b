"""Flows through the rules of the kernel plane, between sockets in network namespaces."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from pipeline.balancer.kernel.conntrack import count_flows, count_flows_of, cut_flows
from pipeline.balancer.kernel.flow import HIDDEN_BIT, FlowGroup, FlowState, Protocol
from tests.support.waiting import DEADLINE, until
from tests.system.flow_lab import BALANCER, CLIENT, PORT, FlowLab, ask, listener, state, target


def address(number: int, version: int = 4) -> str:
    """The address of a server."""
    return str(target(number, version).address)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_server_sees_the_address_of_the_client(lab: FlowLab, protocol: Protocol, version: int) -> None:
    """The server sees the client's own address and port, and its response comes from the balancer's address."""
    group = FlowGroup(1, (target(0, version), target(1, version)))
    lab.apply(FlowState((listener([group], protocol, version=version),)))
    with lab.open(protocol, version=version) as flow:
        server, client = ask(flow)
        host, port = flow.getsockname()[:2]
        assert host == CLIENT[version]
        assert client == f"{host}:{port}"
        assert server in {address(0, version), address(1, version)}
        assert flow.getpeername()[:2] == (BALANCER[version], PORT)


def test_client_on_the_machine_of_the_balancer(lab: FlowLab) -> None:
    """A client on the balancer's own machine reaches a target too, by the address of the listener."""
    lab.apply(state(0))
    with lab.balancer.entered():
        flow = socket.create_connection((BALANCER[4], PORT), timeout=DEADLINE)
    with flow:
        assert ask(flow)[0] == address(0)


def test_shares_of_2000_connections(lab: FlowLab) -> None:
    """With weights 3 and 1 and two targets each, targets get 37.5 and 12.5 % of the connections, within 3 points."""
    groups = [FlowGroup(3, (target(0), target(1))), FlowGroup(1, (target(2), target(3)))]
    lab.apply(FlowState((listener(groups),)))
    found = Counter[str]()
    for number in range(2000):
        # Ports of our own choice: the hash is fixed, and so is the result.
        with lab.open(source=(CLIENT[4], 20000 + number)) as flow:
            found[ask(flow)[0]] += 1
    shares = [found[address(number)] / 20 for number in range(4)]
    assert shares == pytest.approx([37.5, 37.5, 12.5, 12.5], abs=3)
    with lab.balancer.entered():
        counted = lab.table.traffic()
    assert {number: counted[target(number).mark].flows for number in range(4)} == {
        number: found[address(number)] for number in range(4)
    }


def test_source_stickiness(lab: FlowLab) -> None:
    """All connections of a source go to one target, and those of ten sources to more than one, in both groups."""
    groups = [FlowGroup(1, (target(0), target(1))), FlowGroup(1, (target(2), target(3)))]
    lab.apply(FlowState((listener(groups, stickiness="source"),)))
    chosen = set[str]()
    for host in range(2, 12):
        servers = set[str]()
        for _ in range(10):
            with lab.open(source=(f"10.60.1.{host}", 0)) as flow:
                servers.add(ask(flow)[0])
        assert len(servers) == 1
        chosen |= servers
    assert len(chosen) > 2


def test_deregistration_and_cut(lab: FlowLab) -> None:
    """Flows of a target that gets no new ones continue. A cut resets exactly these, and no other."""
    lab.apply(state(0, 1, 2, 3))
    flows = [lab.open() for _ in range(40)]
    before = [ask(flow)[0] for flow in flows]
    assert len(set(before)) == 4
    lab.apply(state(0, 1, 2, draining=[3]))
    assert [ask(flow)[0] for flow in flows] == before
    for _ in range(40):
        with lab.open() as flow:
            assert ask(flow)[0] != address(3)
    with lab.balancer.entered():
        assert count_flows_of(target(3).mark).open == before.count(address(3))
        assert sum(count.open for count in count_flows().values()) == 40
        # All marks, none and few are counted in different ways.
        every = [target(number).mark for number in range(20)]
        for some in (every, every[:4], every[3:4], []):
            assert count_flows(some) == {mark: found for mark, found in count_flows().items() if mark in some}
        cut_flows(target(3).mark)
        assert count_flows_of(target(3).mark).total == 0
    for flow, server in zip(flows, before, strict=True):
        with flow:
            if server == address(3):
                with pytest.raises(ConnectionResetError):
                    ask(flow)
            else:
                assert ask(flow)[0] == server


def test_cut_without_another_target(lab: FlowLab) -> None:
    """A connection that is cut while no target is left is reset. It does not hang."""
    lab.apply(state(0))
    with lab.open() as flow:
        ask(flow)
        lab.apply(state(draining=[0]))
        assert ask(flow)[0] == address(0)
        with lab.balancer.entered():
            cut_flows(target(0).mark)
        with pytest.raises(ConnectionResetError):
            ask(flow)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_flows_without_a_target_are_refused(lab: FlowLab, protocol: Protocol) -> None:
    """A listener whose group has no target refuses a flow at once, also where the machine itself has such a server."""
    with lab.balancer.entered():
        own = socket.create_server((BALANCER[4], PORT))
    with own:
        lab.apply(FlowState((listener([FlowGroup(1, ())], protocol),)))
        with pytest.raises(ConnectionRefusedError), lab.open(protocol) as flow:
            ask(flow)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_idle_flows_end(lab: FlowLab, protocol: Protocol) -> None:
    """A flow without packets ends after the idle time of its listener. A connection is reset then, as by ELB."""
    lab.apply(FlowState((listener([FlowGroup(1, (target(0),))], protocol, idle=1),)))
    with lab.open(protocol) as flow, lab.balancer.entered():
        ask(flow)
        assert count_flows_of(target(0).mark).open == 1
        until(lambda: count_flows_of(target(0).mark).total == 0, "the end of the flow")
        if protocol == "tcp":
            with pytest.raises(ConnectionResetError):
                ask(flow)
        else:
            ask(flow)


def test_target_that_sends_after_the_idle_time(lab: FlowLab) -> None:
    """A forgotten connection whose target sends first is reset, because this packet is not translated back."""
    with lab.far.entered():
        server = socket.create_server((address(0), 9090))
    pushing = replace(target(0), port=9090)
    lab.apply(FlowState((listener([FlowGroup(1, (pushing,))], idle=1),)))
    with server, lab.open(), server.accept()[0] as accepted, lab.balancer.entered():
        accepted.settimeout(DEADLINE)
        until(lambda: count_flows_of(pushing.mark).total == 0, "the end of the flow")
        accepted.sendall(b"late\n")
        with pytest.raises(ConnectionResetError):
            accepted.recv(9)


def everywhere(version: int = 4, *, skips_containers: bool = False) -> FlowState:
    """A listener on every address of the balancer's machine."""
    one = listener([FlowGroup(1, (target(0, version),))], version=version)
    return FlowState(
        (replace(one, address=ip_address("::" if version == 6 else "0.0.0.0"), skips_containers=skips_containers),)
    )


@pytest.mark.parametrize("version", [4, 6])
def test_listener_on_every_address(lab: FlowLab, version: int) -> None:
    """It takes flows to each address of the machine, its own included, but not to loopback or to other machines."""
    lab.apply(everywhere(version))
    other = "fd60:9::1" if version == 6 else "10.60.9.1"
    lab.balancer.ip(f"address add {other}/{128 if version == 6 else 32} dev lo")
    for near in (BALANCER[version], other):
        with lab.client.entered():
            flow = socket.create_connection((near, PORT), timeout=DEADLINE)
        with flow:
            assert ask(flow)[0] == address(0, version)
    with lab.balancer.entered():
        with socket.create_connection((BALANCER[version], PORT), timeout=DEADLINE) as flow:
            assert ask(flow)[0] == address(0, version)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1" if version == 6 else "127.0.0.1", PORT), timeout=DEADLINE)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address(0, version), PORT), timeout=DEADLINE)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_hidden_client(lab: FlowLab, protocol: Protocol, version: int) -> None:
    """With the bit in its mark, a target sees the balancer's address as that of the client."""
    hidden = replace(target(0, version), mark=target(0, version).mark | HIDDEN_BIT)
    lab.apply(FlowState((listener([FlowGroup(1, (hidden,))], protocol, version=version),)))
    with lab.open(protocol, version=version) as flow:
        server, client = ask(flow)
    assert (server, client.rpartition(":")[0]) == (address(0, version), "10.60.2.1" if version == 4 else "fd60:2::1")


def test_flows_from_containers_are_left_alone(lab: FlowLab) -> None:
    """With `skips_containers`, a flow from a bridge of Docker does not reach a target. All others do."""
    lab.apply(everywhere(skips_containers=True))
    with lab.balancer.entered(), socket.create_connection((BALANCER[4], PORT), timeout=DEADLINE) as flow:
        ask(flow)
    with lab.open() as flow:
        ask(flow)
    for name in ("docker0", "br-0123456789ab"):
        lab.balancer.ip("link set cable1 down", f"link set cable1 name {name}", f"link set {name} up")
        with pytest.raises(ConnectionRefusedError):
            lab.open()
        lab.balancer.ip(f"link set {name} down", f"link set {name} name cable1", "link set cable1 up")
