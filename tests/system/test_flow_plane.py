"""Network load balancers that the kernel carries, as far as HAProxy's health checks let it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.flows.process import flow_agent, flow_client
from pipeline.balancer.haproxy.naming import FLOW_STATE_SOCKET
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import Target, TargetState
from pipeline.balancer.planes import open_monitor
from pipeline.balancer.wanted import plane_config
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.base.sockets import connection_to
from tests.support.waiting import DEADLINE, until
from tests.system.flow_balancer import GROUP, OWNER, FlowBalancer
from tests.system.flow_lab import BALANCER, CLIENT, PORT, SERVER_PORT, FlowLab, ask, target
from tests.system.flow_servers import FlowServers

HIDDEN = "10.60.2.1"
PRESERVED = {"attributes": {"preserve_client_ip.enabled": True}}


@pytest.fixture
def flows(lab: FlowLab, tmp_path: Path) -> Iterator[FlowBalancer]:
    """A balancer with nothing declared yet."""
    flows = FlowBalancer(lab, tmp_path / "balancer")
    try:
        yield flows
    finally:
        flows.end()


def address(number: int) -> str:
    """The address of a server."""
    return str(target(number).address)


def reached(lab: FlowLab, number: int = 8) -> set[str]:
    """The servers that answered new connections."""
    found = set[str]()
    for _ in range(number):
        with lab.open() as flow:
            found.add(ask(flow)[0])
    return found


def udp_servers(lab: FlowLab) -> set[str]:
    """The servers that answered new flows of UDP."""
    return servers_at(lab, BALANCER[4])


def is_reset(flow: socket.socket) -> bool:
    """Return whether the connection has ended."""
    try:
        flow.send(b"?\n")
        return flow.recv(200) == b""
    except OSError:
        return True


@pytest.mark.parametrize(
    ("protocol", "group", "transports", "seen"),
    [
        ("TCP", {}, ["tcp"], HIDDEN),
        ("TCP", PRESERVED, ["tcp"], CLIENT[4]),
        ("UDP", {}, ["udp"], CLIENT[4]),
        ("TCP_UDP", {}, ["tcp", "udp"], CLIENT[4]),
    ],
)
def test_address_that_a_target_sees(
    lab: FlowLab, flows: FlowBalancer, protocol: str, group: dict[str, object], transports: list[str], seen: str
) -> None:
    """Targets of UDP see the client's address, those of TCP the balancer's, unless the group preserves it."""
    flows.declare(protocol, group=group)
    flows.register(0)
    for transport in transports:
        with lab.open(transport) as flow:  # type: ignore[arg-type]
            server, client = ask(flow)
            assert (server, client.rpartition(":")[0]) == (address(0), seen)
            flows.await_in_flight(0, 1)
        if transport == "tcp":
            flows.await_in_flight(0, 0)


def test_deregistration_leaves_flows_alone(lab: FlowLab, flows: FlowBalancer) -> None:
    """A deregistered target gets no new flow. Its open one continues, is counted, and ends when it is cut."""
    flows.declare()
    flows.register(0, 1)
    with lab.open() as flow:
        server = ask(flow)[0]
        leaving, staying = (0, 1) if server == address(0) else (1, 0)
        flows.deregister(leaving)
        assert reached(lab) == {address(staying)}
        assert ask(flow)[0] == server
        health = flows.health(leaving)
        assert (health.state, health.in_flight) == (TargetState.DRAINING, 1)
        flows.cut(leaving)
        assert flows.health(leaving).in_flight == 0
        assert is_reset(flow)
    flows.remove(leaving)
    assert reached(lab) == {address(staying)}


def test_target_that_is_removed_early_is_still_counted(lab: FlowLab, flows: FlowBalancer) -> None:
    """A flow continues although its target was removed, and its target may be registered again meanwhile."""
    flows.declare("UDP")
    flows.register(0)
    with lab.open("udp") as flow:
        ask(flow)
        flows.deregister(0)
        flows.remove(0)
        assert ask(flow)[0] == address(0)
        flows.register(0)
        flows.await_in_flight(0, 1)
        assert ask(flow)[0] == address(0)


def test_unhealthy_target(lab: FlowLab, flows: FlowBalancer) -> None:
    """A target that becomes unhealthy loses its flows and gets no new ones, also while Penstock does nothing."""
    flows.declare()
    flows.register(0, 1)
    with lab.open() as flow:
        failed, other = (0, 1) if ask(flow)[0] == address(0) else (1, 0)
        flows.fail(failed)
        until(lambda: is_reset(flow), "the connection ends")
    assert reached(lab) == {address(other)}
    assert flows.health(failed).state == TargetState.UNHEALTHY
    flows.heal()
    until(lambda: reached(lab) == {address(0), address(1)}, "both get connections")


def test_unhealthy_target_with_an_interval(lab: FlowLab, flows: FlowBalancer) -> None:
    """It keeps its flows for the interval as `unhealthy.draining`, and gets no new ones. Then they end."""
    unhealthy = "target_health_state.unhealthy"
    drains = {f"{unhealthy}.connection_termination.enabled": False, f"{unhealthy}.draining_interval_seconds": 2}
    flows.declare(group={"attributes": drains})
    flows.register(0, 1)
    with lab.open() as flow:
        failed, other = (0, 1) if ask(flow)[0] == address(0) else (1, 0)
        flows.fail(failed)
        flows.await_states(**{f"s{failed}": TargetState.UNHEALTHY_DRAINING})
        assert ask(flow)[0] == address(failed)
        assert reached(lab) == {address(other)}
        flows.await_states(**{f"s{failed}": TargetState.UNHEALTHY})
        assert is_reset(flow)


def test_fail_open(lab: FlowLab, flows: FlowBalancer) -> None:
    """While no target is healthy, all get flows, and open ones continue."""
    flows.declare("UDP")
    flows.register(0)
    with lab.open("udp") as flow:
        ask(flow)
        flows.fail(0)
        flows.await_states(s0=TargetState.UNHEALTHY)
        assert ask(flow)[0] == address(0)
        with lab.open("udp") as other:
            assert ask(other)[0] == address(0)


@pytest.mark.timing
def test_foreign_flush_is_repaired_within_a_second(lab: FlowLab, flows: FlowBalancer) -> None:
    """If another program removes all rules, the agent restores the table within 1 s. HAProxy has TCP until then."""
    flows.declare(group=PRESERVED)
    flows.register(0)
    before = flows.rules()
    assert "dport 80" in before
    lab.balancer.nft("flush ruleset")
    started = time.monotonic()
    assert reached(lab, 1) == {address(0)}
    until(lambda: flows.rules().count("dport 80") == 1, "the table is back")
    assert time.monotonic() - started < 1
    with lab.open() as flow:
        assert ask(flow)[1].startswith(f"{CLIENT[4]}:")


def test_agent_that_was_killed_is_started_again(lab: FlowLab, flows: FlowBalancer) -> None:
    """Without the agent, flows continue. The next reconciliation starts another one, which changes no rule."""
    flows.declare("UDP")
    flows.register(0, 1)
    with lab.open("udp") as flow:
        server = ask(flow)[0]
        before, first = lab.balancer.run("nft", "--handle", "--stateless", "list", "ruleset"), flows.agent()
        flows.signal_agent(signal.SIGKILL)
        assert ask(flow)[0] == server
        flows.await_states(s0=TargetState.HEALTHY, s1=TargetState.HEALTHY)
        assert flows.agent() != first
        assert lab.balancer.run("nft", "--handle", "--stateless", "list", "ruleset") == before
        flows.await_in_flight(0 if server == address(0) else 1, 1)


def test_agent_that_is_stopped_is_continued(lab: FlowLab, flows: FlowBalancer) -> None:
    """A signal that stops the agent is seen. The next change continues it and is confirmed."""
    flows.declare()
    flows.register(0, 1)
    agent = flows.agent()
    flows.signal_agent(signal.SIGSTOP)
    with flows.opened() as balancer:
        until(lambda: agent in balancer.stopped(), "it is stopped")
    flows.deregister(0)
    assert flows.agent() == agent
    assert reached(lab) == {address(1)}


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["removed", "damaged"])
def test_lost_file_of_listeners(lab: FlowLab, flows: FlowBalancer, damage: Callable[[Path], object]) -> None:
    """Without the file of its listeners, the kernel carries them on. The next change writes it anew."""
    flows.declare("UDP")
    flows.register(0, 1)
    file = flows.directory / "flows.json"
    damage(file)
    flows.fail(0)
    until(lambda: udp_servers(lab) == {address(1)}, "the unhealthy target gets no flows")
    with flows.opened():
        assert not open_monitor(flows.directory).is_responding()
    flows.heal()
    flows.await_states(s0=TargetState.HEALTHY)
    assert "edge" in file.read_text()
    damage(file)
    flows.deregister(0)
    assert udp_servers(lab) == {address(1)}
    damage(file)
    flows.end()
    assert "dport" not in flows.rules()
    assert flow_agent(flows.directory).running() is None


def test_lost_socket_of_the_agent(lab: FlowLab, flows: FlowBalancer) -> None:
    """If another program removes the agent's files, another agent replaces it, which ends as soon as it looks."""
    flows.declare("UDP")
    flows.register(0)
    agent = flows.agent()
    (flows.directory / "flows.sock").unlink()
    (flows.directory / "flows.pid").unlink()
    flows.register(1)
    assert flows.agent() != agent
    lab.balancer.nft("flush ruleset")
    until(lambda: not Path(f"/proc/{agent}/cwd").exists(), "the former agent has ended")
    until(lambda: "dport" in flows.rules(), "the table is back")


@pytest.mark.parametrize("line", [b"x", b"[]", b"{}", b'{"do": "cut"}', b"\xff", b"1" * 9000])
def test_agent_refuses_what_is_no_request(lab: FlowLab, flows: FlowBalancer, line: bytes) -> None:
    """A line that is no request is answered with an error, and the agent goes on."""
    flows.declare("UDP")
    agent = flows.agent()
    with connection_to(flows.directory, "flows.sock", 5) as connection:
        connection.sendall(line + b"\n")
        assert b"not a request" in connection.recv(200)
    assert flows.agent() == agent


def test_agent_of_a_removed_directory(lab: FlowLab, flows: FlowBalancer) -> None:
    """If the directory of the balancer is removed, the agent removes its rules and ends."""
    flows.declare("UDP")
    flows.register(0, 1)
    with lab.open("udp") as flow:
        # While a target drains, the agent looks each second.
        flows.deregister(0 if ask(flow)[0] == address(0) else 1)
        agent = flows.agent()
        with flows.opened() as balancer:
            haproxy = balancer.pid()
        assert haproxy is not None
        shutil.rmtree(flows.directory)
        os.kill(haproxy, signal.SIGKILL)
        until(lambda: "dport" not in flows.rules(), "the rules are gone")
        until(lambda: not Path(f"/proc/{agent}/cwd").exists(), "the agent has ended")


def test_rules_of_others_stay(lab: FlowLab, flows: FlowBalancer) -> None:
    """Rules of other programs are byte for byte the same after each step, and nothing is left in the end."""
    lab.balancer.nft(
        "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };"
        "add rule ip nat out oifname dummy masquerade; add table inet user; add chain inet user forward {"
        " type filter hook forward priority 0; policy drop; };"
        "add rule inet user forward ct status dnat accept; add rule inet user forward ct state established accept"
    )

    def others() -> str:
        return lab.balancer.run("nft", "--stateless", "list", "ruleset").replace(_own(lab), "")

    before = others()
    flows.declare("UDP")
    assert others() == before
    flows.register(0, 1)
    with lab.open("udp") as flow:
        ask(flow)
    assert others() == before
    flows.signal_agent(signal.SIGKILL)
    flows.deregister(0)
    assert others() == before
    flows.end()
    assert _own(lab) == ""
    assert lab.balancer.run("nft", "--stateless", "list", "ruleset") == before


def _own(lab: FlowLab) -> str:
    listed = lab.balancer.run("nft", "list", "tables")
    name = next((line.split()[-1] for line in listed.splitlines() if " inet penstock_" in line), "")
    return lab.balancer.run("nft", "--stateless", "list", "table", "inet", name) if name else ""


_UNUSED = "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; add chain ip nat other"


@pytest.mark.parametrize("others", ["", _UNUSED], ids=["no other table", "chains without rules"])
def test_last_table_stays_empty(lab: FlowLab, flows: FlowBalancer, others: str) -> None:
    """If no other program translates addresses, the table stays without rules, and an open flow continues."""
    lab.balancer.nft(others)
    flows.declare("UDP")
    flows.register(0)
    with lab.open("udp") as flow:
        ask(flow)
        flows.end()
        assert ask(flow)[0] == address(0)
    assert "dport" not in flows.rules()
    assert flows.rules()


def test_client_by_loopback_reaches_haproxy(lab: FlowLab, flows: FlowBalancer) -> None:
    """On every address, clients of other machines come by the kernel, and those by 127.0.0.1 by HAProxy."""
    flows.declare(address="", group=PRESERVED)
    flows.register(0)
    with lab.open() as flow:
        assert ask(flow)[1].startswith(f"{CLIENT[4]}:")
    for near, seen in (("127.0.0.1", HIDDEN), (BALANCER[4], BALANCER[4])):
        with lab.balancer.entered(), socket.create_connection((near, PORT), timeout=DEADLINE) as flow:
            assert ask(flow)[1].rpartition(":")[0] == seen


@pytest.mark.parametrize("odd", ["127.0.0.1", "fd60:2::11"])
def test_targets_that_the_kernel_does_not_reach(lab: FlowLab, flows: FlowBalancer, odd: str) -> None:
    """HAProxy carries a listener of TCP with a target of the other family, or at loopback, so both targets answer."""
    flows.declare()
    with lab.balancer.entered(), closing(FlowServers(["127.0.0.1"], SERVER_PORT)), flows.opened() as balancer:
        flows.register(0)
        balancer.register(OWNER, GROUP, Target(id="odd", address=odd, port=SERVER_PORT))
        flows.await_states(s0=TargetState.HEALTHY, odd=TargetState.HEALTHY)
        until(lambda: reached(lab) == {address(0), odd}, "both get connections")
        found = flows.choice()
        assert (found.plane, f"does not forward from {BALANCER[4]} to odd at " in found.reason) == ("HAProxy", True)
        balancer.deregister(OWNER, GROUP, "odd")
        balancer.remove_target(OWNER, GROUP, "odd")
        assert flows.choice().plane == "kernel"


# What Docker has in a table, with no published port.
_DOCKER = (
    "add table ip filter; add chain ip filter DOCKER;"
    "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; };"
)


@pytest.mark.parametrize(
    ("protocol", "group", "transport", "answered"),
    [("TCP", {}, "tcp", True), ("TCP", PRESERVED, "tcp", False), ("UDP", {}, "udp", False)],
)
def test_targets_to_which_docker_drops_what_is_forwarded(
    lab: FlowLab, flows: FlowBalancer, protocol: str, group: dict[str, object], transport: Any, answered: bool
) -> None:
    """The last line of the table in docs/elb.md. HAProxy carries the listener if it can, and the choice says so.

    Once Docker publishes the port, the kernel carries it.
    """
    lab.balancer.nft(_DOCKER)
    flows.declare(protocol, group=group)
    flows.register(0)
    with ExitStack() as stack, contextlib.nullcontext() if answered else pytest.raises(OSError, match="timed out"):
        ask(stack.enter_context(lab.open(transport, timeout=5 if answered else 0.5)))
    if answered:
        found = flows.choice()
        reason = "Docker drops what the kernel forwards to s0, whose port is not published"
        assert str(found) == f"carried by HAProxy: {reason}"
        assert found.hint.endswith("iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT")
    else:
        found = flows.choice()
        assert (found.plane, "; Docker drops what the kernel forwards to s0 at " in found.reason) == ("kernel", True)
    lab.balancer.nft(
        f"add rule ip filter DOCKER ip daddr {address(0)} {transport} dport {SERVER_PORT} accept;"
        "insert rule ip filter FORWARD ct state established,related accept;"
        "add rule ip filter FORWARD jump DOCKER"
    )
    # The agent looks again when HAProxy reports a change.
    flows.register(1)
    flows.deregister(1)
    flows.remove(1)
    assert flows.choice().plane == "kernel"
    assert "Docker drops" not in flows.choice().reason
    with lab.open(transport) as flow:
        assert ask(flow)[0] == address(0)


def test_rule_that_lets_docker_accept_what_is_forwarded(lab: FlowLab, flows: FlowBalancer) -> None:
    """What the choice of a listener that only the kernel carries says to do, for targets that are no containers."""
    lab.balancer.nft(_DOCKER + "add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER")
    flows.declare("TCP", group=PRESERVED)
    flows.register(0)
    assert flows.choice().hint == (
        "let Docker accept it: iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
    )
    # As iptables writes it.
    lab.balancer.nft("add rule ip filter DOCKER-USER ct status dnat counter packets 0 bytes 0 accept")
    flows.register(1)
    flows.deregister(1)
    flows.remove(1)
    assert flows.choice().hint == ""
    with lab.open("tcp") as flow:
        assert ask(flow)[0] == address(0)


def test_two_homes_have_different_marks(lab: FlowLab, flows: FlowBalancer, tmp_path: Path) -> None:
    """A second home on the machine counts its own flows only."""
    flows.declare("UDP")
    flows.register(0)
    second = FlowBalancer(lab, tmp_path / "second")
    try:
        second.declare("UDP", port=81)
        second.register(0)
        with lab.open("udp") as flow:
            ask(flow)
            assert (flows.health(0).in_flight, second.health(0).in_flight) == (1, 0)
    finally:
        second.end()


@pytest.mark.parametrize("own", [BALANCER[4], ""])
def test_port_of_another_home(lab: FlowLab, flows: FlowBalancer, tmp_path: Path, own: str) -> None:
    """A UDP listener at an address and port of another home is refused, and that home's flows go on."""
    flows.declare("UDP", address=own)
    flows.register(0)
    second = FlowBalancer(lab, tmp_path / "second")
    with pytest.raises(ConfigError, match="is taken by another home") as caught:
        second.declare("UDP")
    assert "nft delete table inet penstock_" in (caught.value.hint or "")
    assert udp_servers(lab) == {address(0)}
    flows.declare("UDP", address=own)


def test_policy_drop_of_another_program(lab: FlowLab, flows: FlowBalancer) -> None:
    """If another program's chain drops what is forwarded, HAProxy keeps TCP, unless the group preserves addresses."""
    lab.balancer.nft(
        "add table inet user; add chain inet user forward { type filter hook forward priority 0; policy drop; }"
    )
    flows.declare()
    flows.register(0)
    assert flows.rules() == ""
    assert reached(lab) == {address(0)}
    flows.declare(group=PRESERVED)
    assert "dport 80" in flows.rules()
    lab.balancer.nft("insert rule inet user forward ct status dnat accept")
    with lab.open() as flow:
        assert ask(flow)[1].startswith(f"{CLIENT[4]}:")
    with flows.opened() as balancer:
        flows.declare()
        balancer.ensure_running()
    assert "dport 80" in flows.rules()


_WITHOUT_RIGHT = """
import sys
from pathlib import Path
from typing import Any
from pipeline.balancer.model import Declaration
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import PenstockError
balancer = open_balancer(Path(sys.argv[1]))
for protocol in sys.argv[2:]:
    listener = {"protocol": protocol, "port": 80, "default_action": {"forward": "db"}}
    declaration = Declaration.model_validate({
        "target_groups": {"db": {"protocol": protocol, "port": 8080}},
        "load_balancers": {"edge": {"type": "network", "address": "10.60.1.1", "listeners": [listener]}},
    })
    try:
        balancer.check("shop", declaration)
        balancer.apply("shop", declaration)
        print(*(choice for _, choice in balancer.plane_choices()))
    except PenstockError as error:
        print(error.message, "|", error.hint)
"""


def without_right(lab: FlowLab, directory: Path, *protocols: str) -> list[str]:
    """Declare listeners of these protocols in a process without CAP_NET_ADMIN. Return what it prints for each."""
    dropped = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    with lab.balancer.entered():
        return lab.balancer.run(*dropped, sys.executable, "-c", _WITHOUT_RIGHT, str(directory), *protocols).splitlines()


def test_process_without_the_right(lab: FlowLab, flows: FlowBalancer) -> None:
    """Without CAP_NET_ADMIN, HAProxy carries TCP, and UDP is refused with what to grant."""
    tcp, udp = without_right(lab, flows.directory, "TCP", "UDP")
    assert tcp == "carried by HAProxy: nftables: no permission to change rules"
    assert udp.startswith(
        "load balancer edge of shop, port 80, needs the kernel: nftables: no permission to change rules | run as root, "
        "or grant CAP_NET_ADMIN"
    )
    assert flows.rules() == ""


def test_process_without_the_right_uses_the_agent(lab: FlowLab, flows: FlowBalancer) -> None:
    """A process without CAP_NET_ADMIN keeps what an agent that has it carries."""
    flows.declare("UDP")
    flows.register(0)
    agent = flows.agent()
    assert without_right(lab, flows.directory, "UDP") == ["carried by the kernel: HAProxy does not carry UDP"]
    assert flows.agent() == agent
    with lab.open("udp") as flow:
        assert ask(flow)[0] == address(0)


def test_process_without_the_right_starts_no_agent(lab: FlowLab, flows: FlowBalancer) -> None:
    """If the agent is dead, a process without CAP_NET_ADMIN says what to grant, and another one takes over."""
    flows.declare()
    flows.register(0)
    flows.signal_agent(signal.SIGKILL)
    (refused,) = without_right(lab, flows.directory, "TCP")
    assert refused.startswith("nftables: no permission to change rules | run as root")
    assert flow_agent(flows.directory).running() is None
    assert reached(lab) == {address(0)}
    flows.deregister(0)
    assert flows.agent()


def test_right_that_was_lost_before_a_boot(lab: FlowLab, flows: FlowBalancer) -> None:
    """Without CAP_NET_ADMIN, HAProxy takes TCP over from a kernel that has no rules since the last boot."""
    flows.declare()
    flows.register(0)
    flows.signal_agent(signal.SIGKILL)
    lab.balancer.nft("flush ruleset")
    file = flows.directory / "kernel-table.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "scope": "another boot"}))
    assert without_right(lab, flows.directory, "TCP") == ["carried by HAProxy: nftables: no permission to change rules"]
    assert reached(lab) == {address(0)}
    assert not (flows.directory / "flows.json").exists()


def test_kernel_takes_over_from_haproxy(lab: FlowLab, flows: FlowBalancer) -> None:
    """Connections that HAProxy carries go on when the kernel takes the listener over, and new ones are the kernel's."""
    assert without_right(lab, flows.directory, "TCP") == ["carried by HAProxy: nftables: no permission to change rules"]
    flows.register(0)
    with lab.open() as flow:
        server = ask(flow)[0]
        flows.declare()
        assert "dport 80" in flows.rules()
        assert ask(flow)[0] == server
        with lab.open() as other:
            ask(other)
            flows.await_in_flight(0, 2)


def test_a_port_of_another_program(lab: FlowLab, flows: FlowBalancer) -> None:
    """A port on which another program has a UDP socket is refused, with the command that finds it."""
    with lab.balancer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((BALANCER[4], PORT))
        with pytest.raises(ConfigError, match="is taken by another program") as caught:
            flows.declare("UDP")
    assert caught.value.hint == "find it with `ss -lunp 'sport = :80'`"


def test_nodes_of_zones(lab: FlowLab, flows: FlowBalancer) -> None:
    """Without cross-zone balancing, each node sends flows to the targets of its zone, and with it to all.

    A shift takes the targets of a zone out of service and leaves their open flows alone.
    """
    second = "10.60.9.1"
    lab.balancer.ip(f"address add {second}/32 dev lo")
    zones = {"zone-a": BALANCER[4], "zone-b": second}
    flows.declare("UDP", zones=zones)
    flows.register(0, 1, zones={0: "zone-a", 1: "zone-b"})
    assert servers_at(lab, BALANCER[4]) == {address(0)}
    assert servers_at(lab, second) == {address(1)}
    flows.declare("UDP", zones=zones, attributes={"load_balancing.cross_zone.enabled": True})
    flows.await_states(s0=TargetState.HEALTHY, s1=TargetState.HEALTHY)
    assert servers_at(lab, second) == {address(0), address(1)}
    with udp(lab, second) as flow:
        server = ask(flow)[0]
        away, other = ("zone-a", 1) if server == address(0) else ("zone-b", 0)
        with flows.opened() as balancer:
            balancer.shift(OWNER, "edge", away, SYSTEM.now().later(timedelta(minutes=1)))
        assert servers_at(lab, second) == {address(other)}
        assert ask(flow)[0] == server


def test_pool_that_haproxy_no_longer_has(lab: FlowLab, flows: FlowBalancer) -> None:
    """HAProxy is changed before the kernel. Until both are, flows go on to the targets of the former pools."""
    flows.declare("UDP", zones={"zone-a": BALANCER[4]})
    flows.register(0, zones={0: "zone-a"})
    with flows.opened() as balancer:
        declared = balancer.registry().load_balancers
        (edge,) = declared.values()
        bare = edge.model_copy(update={"settings": edge.settings.model_copy(update={"zones": None})})
        HAProxyPlane(flows.directory).apply(plane_config(balancer.registry().with_resources(bare)))
        flow_client(flows.directory).ask("sync")
    assert udp_servers(lab) == {address(0)}


def test_lost_socket_of_reports(lab: FlowLab, flows: FlowBalancer) -> None:
    """If another program removes the socket of HAProxy's reports, the agent makes another when it looks."""
    flows.declare("UDP")
    flows.register(0, 1)
    (flows.directory / FLOW_STATE_SOCKET).unlink()
    lab.balancer.nft("flush ruleset")
    until(lambda: "dport" in flows.rules(), "the table is back")
    flows.fail(0)
    until(lambda: udp_servers(lab) == {address(1)}, "the unhealthy target gets no flows")


def servers_at(lab: FlowLab, host: str) -> set[str]:
    """The servers that answered new flows to an address."""
    found = set[str]()
    for _ in range(16):
        with udp(lab, host) as flow:
            found.add(ask(flow)[0])
    return found


def udp(lab: FlowLab, host: str) -> socket.socket:
    """A flow of UDP to an address of the balancer's machine."""
    with lab.client.entered():
        flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.settimeout(DEADLINE)
    flow.connect((host, PORT))
    return flow
