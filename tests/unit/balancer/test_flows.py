"""What the kernel carries: from a declaration and the state of HAProxy's servers to the wanted state of the table."""

from __future__ import annotations

import json
import socket
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.agent.flow_fact import FlowFact
from pipeline.balancer.agent.servers import Server
from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.flows.config_flows import wanted_flows
from pipeline.balancer.flows.flow_state import chosen_targets, failed_targets, flow_state
from pipeline.balancer.flows.kernel_counts import kernel_counts
from pipeline.balancer.flows.left_listeners import blocked_listeners, left_listeners, with_left
from pipeline.balancer.flows.marks import MarkedTarget, MarkFile, with_marks, without
from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.flows.wanted_flows import FlowFile, GroupFlows, ListenerFlows, WantedFlows
from pipeline.balancer.kernel.flow import HIDDEN_BIT, LAST_MARK, MARK_PREFIX
from pipeline.balancer.kernel.table import Traffic
from pipeline.balancer.model import Declaration
from pipeline.balancer.plane_choice import KernelSupport, PlaneChoice, choose_plane
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.testing.fakes.data_plane import FakePlane

UP, DOWN, CLOSED = (True, True), (True, False), (False, False)
DENIED = KernelSupport("nftables: no permission to change rules", "run as root")


def declared(
    protocol: str = "TCP",
    *,
    address: str = "192.0.2.1",
    group: dict[str, Any] | None = None,
    listener: dict[str, Any] | None = None,
) -> Registry:
    """A listener of a network load balancer with one target group. `group`, `listener`: further keys."""
    forwarded = {"protocol": protocol, "port": 80, "default_action": {"forward": "db"}, **(listener or {})}
    settings = {"protocol": protocol, "port": 5432, **(group or {})}
    edge = {"type": "network", "listeners": [forwarded], **({"address": address} if address else {})}
    declaration = {"target_groups": {"db": settings}, "load_balancers": {"edge": edge}}
    return Registry().declare("shop", Declaration.model_validate(declaration))


def flows(registry: Registry, support: KernelSupport | None = None) -> WantedFlows:
    """What the kernel carries of a registry."""
    return wanted_flows(plane_config(registry), support or KernelSupport())


def choice(registry: Registry, support: KernelSupport | None = None) -> PlaneChoice:
    """The plane of the only listener."""
    config = plane_config(registry)
    (listener,) = config.listeners
    settings = {(group.owner, group.name): group.settings for group in config.groups.values()}
    return choose_plane(listener, settings, support or KernelSupport())  # type: ignore[arg-type]


def servers(*states: tuple[bool, bool], first: int = 1) -> dict[str, list[Server]]:
    """Servers of the group, which are open or not and up or not."""
    named = enumerate(states, first)
    return {"shop.db": [Server(f"t{number}", f"10.0.0.{number}:5432", *state) for number, state in named]}


def names(targets: list[MarkedTarget]) -> list[str]:
    return [marked.target for marked in targets]


EDGE = ("shop", "edge")
ANY = WantedFlows(
    (
        ListenerFlows(
            "shop", "edge", "192.0.2.1", 80, "tcp", 350, sticky=False, is_optional=True, groups=(("shop.db", 1),)
        ),
    ),
    {"shop.db": GroupFlows()},
)


def test_tcp_hides_the_client() -> None:
    """A TCP listener has the idle time of its attribute, and its targets see the balancer's address."""
    found = flows(declared(listener={"attributes": {"tcp.idle_timeout.seconds": 60}}))
    assert found == WantedFlows(
        (
            ListenerFlows(
                "shop", "edge", "192.0.2.1", 80, "tcp", 60, sticky=False, is_optional=True, groups=(("shop.db", 1),)
            ),
        ),
        {"shop.db": GroupFlows(needed=1, hidden=True, cuts=True)},
    )


def test_both_protocols_of_a_listener() -> None:
    """A TCP_UDP listener is carried for both protocols, with their idle times, and preserves the client's address."""
    found = flows(declared("TCP_UDP", group={"attributes": {"stickiness.enabled": True}}))
    assert [(each.protocol, each.idle, each.sticky, each.is_optional) for each in found.listeners] == [
        ("tcp", 350, True, False),
        ("udp", 120, True, False),
    ]
    assert not found.groups["shop.db"].hidden


@pytest.mark.parametrize(
    ("address", "bound"), [("", ["0.0.0.0", "::"]), ("0.0.0.0", ["0.0.0.0"]), ("2001:db8::1", ["2001:db8::1"])]
)
def test_addresses(address: str, bound: list[str]) -> None:
    """An internet-facing load balancer without an address is carried for both families."""
    assert [each.address for each in flows(declared(address=address)).listeners] == bound


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"address": "127.0.0.1"}, "the kernel does not forward what is sent to 127.0.0.1"),
        ({"address": "fe80::1"}, "the kernel does not forward what is sent to fe80::1"),
        (
            {"group": {"target_type": "instance", "health_check": {"protocol": "HTTP"}}},
            "the targets of db are ports of 127.0.0.1",
        ),
        (
            {"group": {"attributes": {"proxy_protocol_v2.enabled": True}}},
            "target group db has proxy_protocol_v2.enabled, and the kernel sends no PROXY header",
        ),
    ],
)
def test_listeners_that_haproxy_carries(keys: dict[str, Any], reason: str) -> None:
    """What the kernel cannot carry stays with HAProxy, and the choice says why and what to write instead."""
    found = choice(declared(**keys))
    assert (found.plane, found.reason, bool(found.hint)) == ("HAProxy", reason, True)
    assert flows(declared(**keys)) == WantedFlows()


def test_machine_without_the_right() -> None:
    """Without the right, HAProxy carries TCP. UDP and preserved addresses are missing."""
    assert str(choice(declared(), DENIED)) == "carried by HAProxy: nftables: no permission to change rules"
    for registry in (declared("UDP"), declared(group={"attributes": {"preserve_client_ip.enabled": True}})):
        found = choice(registry, DENIED)
        assert (found.is_missing, found.hint, str(found)) == (
            True,
            "run as root",
            "not carried: nftables: no permission to change rules",
        )
        assert flows(registry, DENIED) == WantedFlows()


def test_rules_that_drop_what_is_forwarded() -> None:
    """Where another program drops what is forwarded, TCP stays with HAProxy. UDP has the hint."""
    support = KernelSupport(blocked="add a rule")
    assert (choice(declared(), support).plane, choice(declared(), support).hint) == ("HAProxy", "add a rule")
    assert (choice(declared("UDP"), support).plane, choice(declared("UDP"), support).hint) == ("kernel", "add a rule")
    assert choice(declared()).reason == "the kernel is faster"
    assert choice(declared("UDP")).reason == "HAProxy does not carry UDP"


def test_preserved_address_that_no_plane_gives() -> None:
    """A group that preserves addresses behind a listener that only HAProxy carries is refused."""
    with pytest.raises(ConfigError) as caught:
        declared(address="127.0.0.1", group={"attributes": {"preserve_client_ip.enabled": True}})
    assert caught.value.message == (
        "load balancer edge of shop, port 80: target group db has preserve_client_ip.enabled, and HAProxy connects "
        "from its own address, but the kernel does not forward what is sent to 127.0.0.1"
    )
    assert "scheme: internet-facing" in (caught.value.hint or "")


def test_preserved_address_beside_a_group_of_haproxy() -> None:
    """One plane carries a listener, so a group that preserves addresses fits no group that only HAProxy reaches."""
    groups = [{"target_group": "db", "weight": 1}, {"target_group": "local", "weight": 0}]
    edge = {"type": "network", "listeners": [{"protocol": "TCP", "port": 80, "default_action": {"forward": groups}}]}
    local = {"protocol": "TCP", "port": 81, "target_type": "instance", "health_check": {"protocol": "HTTP"}}
    db = {"protocol": "TCP", "port": 80, "attributes": {"preserve_client_ip.enabled": True}}
    declaration = {"target_groups": {"db": db, "local": local}, "load_balancers": {"edge": edge}}
    with pytest.raises(ConfigError, match=r"db has preserve_client_ip.enabled, .* of local are ports of 127.0.0.1"):
        Registry().declare("shop", Declaration.model_validate(declaration))


@pytest.mark.parametrize(
    ("weights", "share", "expected"),
    [
        ((1, 0), 10, [900, 100, 0]),
        ((1, 0), 0.1, [999, 1, 0]),
        ((1, 0), 100, [0, 1000, 0]),
        # Above the kernel's limit, so they are rounded, and no group with a share is left out.
        ((3, 2), 10, [1000, 111, 741]),
        ((1, 999), 0.1, [1, 1, 1000]),
    ],
)
def test_weights_of_an_alternate_group(weights: tuple[int, int], share: float, expected: list[int]) -> None:
    """A share of a listener's only group is exact. Beside other groups it is rounded to what the kernel takes."""
    groups = [{"target_group": name, "weight": weight} for name, weight in zip(("db", "spare"), weights, strict=True)]
    edge = {"type": "network", "listeners": [{"protocol": "TCP", "port": 80, "default_action": {"forward": groups}}]}
    settings = {"protocol": "TCP", "port": 81}
    declaration = {"target_groups": {"db": settings, "spare": settings}, "load_balancers": {"edge": edge}}
    divided = with_alternates(Declaration.model_validate(declaration), {"db": Alternate(share)})
    (listener, *_) = flows(Registry().declare("shop", divided)).listeners
    found = dict(listener.groups)
    wanted = dict(zip(("shop.db", "shop.db-next", "shop.spare"), expected, strict=True))
    assert found == wanted


def test_healthy_targets_are_chosen() -> None:
    """Admitted and healthy targets get flows. If too few are healthy, all admitted ones do."""
    assert names(chosen_targets(ANY, servers(UP, DOWN, CLOSED, UP))) == ["t1", "t4"]
    assert names(chosen_targets(ANY, servers(DOWN, DOWN, CLOSED))) == ["t1", "t2"]
    two = WantedFlows(ANY.listeners, {"shop.db": GroupFlows(needed=2)})
    assert names(chosen_targets(two, servers(UP, DOWN, CLOSED))) == ["t1", "t2"]
    assert chosen_targets(ANY, {}) == []


def test_failed_targets_lose_their_flows() -> None:
    """Unhealthy targets lose their flows, but not while the group fails open, or if it keeps them."""
    assert names(failed_targets(ANY, servers(UP, DOWN, CLOSED))) == ["t2"]
    assert failed_targets(ANY, servers(DOWN, DOWN)) == []
    keeps = WantedFlows(ANY.listeners, {"shop.db": GroupFlows(cuts=False)})
    assert failed_targets(keeps, servers(UP, DOWN)) == []


def test_targets_of_a_zone_that_is_shifted_away() -> None:
    """They get flows only while too few others are healthy, and their open flows stay."""
    found = {"shop.db": [*servers(UP)["shop.db"], Server("away", "10.0.0.9:5432", True, True, is_spare=True)]}
    assert names(chosen_targets(ANY, found)) == ["t1"]
    assert failed_targets(ANY, found) == []
    found = {"shop.db": [*servers(DOWN)["shop.db"], found["shop.db"][1]]}
    assert names(chosen_targets(ANY, found)) == ["t1", "away"]


def test_listener_without_targets_of_its_family() -> None:
    """A listener whose family no target has is left to the machine."""
    six = WantedFlows(
        (*ANY.listeners, ListenerFlows(*EDGE, "::", 80, "tcp", 350, False, True, (("shop.db", 1),))),
        ANY.groups,
    )
    marks = with_marks({}, chosen_targets(six, servers(UP)), (), "home")
    assert [str(each) for each in flow_state(six, servers(UP), marks).listeners] == ["tcp://192.0.2.1:80"]
    assert flow_state(ANY, servers(CLOSED), {}).listeners == ()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5432", "[2001:db8::9]:5432", "[::1]:5432"])
def test_targets_that_the_kernel_does_not_reach(endpoint: str) -> None:
    """HAProxy keeps an optional listener with a target at loopback or of the other family. Others leave it out."""
    found = {"shop.db": [*servers(UP)["shop.db"], Server("odd", endpoint, True, True)]}
    marks = with_marks({}, chosen_targets(ANY, found), (), "home")
    assert flow_state(ANY, found, marks).listeners == ()
    needed = WantedFlows(tuple(replace(each, is_optional=False) for each in ANY.listeners), ANY.groups)
    (listener,) = flow_state(needed, found, marks).listeners
    assert [target.id for target in listener.targets()] == ["shop.db/t1"]


def test_optional_listener_with_an_undeliverable_target() -> None:
    """A listener that HAProxy can carry is left to it while Docker drops flows to one of its targets."""
    chosen = chosen_targets(ANY, servers(UP, UP))
    marks = with_marks({}, chosen, (), "home")
    assert flow_state(ANY, servers(UP, UP), marks, undeliverable=chosen[:1]).listeners == ()
    assert len(flow_state(ANY, servers(UP, UP), marks).listeners) == 1


def test_choice_of_a_listener_that_is_left() -> None:
    """It is HAProxy if all nodes are left. If some are, the kernel carries the others, and the reason names these."""
    kernel = PlaneChoice("kernel", "the kernel is faster")
    six = replace(ANY.listeners[0], address="::")
    both, chosen = WantedFlows((*ANY.listeners, six), ANY.groups), chosen_targets(ANY, servers(UP))
    left = left_listeners(both, chosen)
    assert with_left(kernel, ANY.listeners, left) == kernel
    assert str(with_left(kernel, [six], left)) == (
        "carried by HAProxy: the kernel does not forward from :: to t1 at 10.0.0.1:5432"
    )
    assert str(with_left(kernel, both.listeners, left)) == (
        "carried by the kernel: the kernel is faster; HAProxy carries ::, because the kernel does not forward from :: "
        "to t1 at 10.0.0.1:5432"
    )
    needed = replace(six, is_optional=False)
    assert with_left(kernel, [needed], left_listeners(WantedFlows((needed,), ANY.groups), chosen)) == kernel


def test_choice_of_a_listener_that_only_the_kernel_carries() -> None:
    """The reason names a target whose flows Docker drops, and the hint what lets them pass."""
    kernel = PlaneChoice("kernel", "target group db has preserve_client_ip.enabled")
    needed = WantedFlows((replace(ANY.listeners[0], is_optional=False),), ANY.groups)
    chosen = chosen_targets(needed, servers(UP))
    assert blocked_listeners(needed, chosen, ()) == blocked_listeners(ANY, chosen, chosen) == []
    found = with_left(kernel, needed.listeners, blocked_listeners(needed, chosen, chosen))
    assert (str(found), found.hint) == (
        "carried by the kernel: target group db has preserve_client_ip.enabled; Docker drops what the kernel forwards "
        "to t1 at 10.0.0.1:5432",
        "let Docker accept it: iptables -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT",
    )
    assert len(flow_state(needed, servers(UP), with_marks({}, chosen, (), "home"), (), chosen).listeners) == 1


targets = st.builds(
    MarkedTarget,
    st.sampled_from(["shop.db", "shop.web"]),
    st.integers(0, 99).map(lambda number: f"t{number}"),
    st.just("10.0.0.1:1"),
    st.booleans(),
)


@given(st.lists(targets, max_size=30, unique=True), st.sets(st.integers(MARK_PREFIX + 1, LAST_MARK), max_size=9))
def test_marks_are_unique(wanted: list[MarkedTarget], taken: set[int]) -> None:
    """Each target has a mark of its half that no other one uses, and keeps it."""
    marks = with_marks({}, wanted, taken, "home")
    assert marks.keys() == set(wanted)
    assert len({*marks.values(), *taken}) == len(wanted) + len(taken)
    for marked, mark in marks.items():
        assert MARK_PREFIX < mark <= LAST_MARK
        assert bool(mark & HIDDEN_BIT) == marked.hidden
    assert with_marks(marks, wanted, (), "home") is marks
    assert with_marks({}, wanted, taken, "home") == marks


def test_marks_can_run_out() -> None:
    """If all marks are in use, the error names the target."""
    wanted = [MarkedTarget("shop.db", "t1", "10.0.0.1:1", hidden=False)]
    with pytest.raises(BalancerFault, match=r"no mark is left for target t1 of shop\.db: 32767 are in use"):
        with_marks({}, wanted, range(MARK_PREFIX, MARK_PREFIX + HIDDEN_BIT), "home")


def test_marks_on_disk(tmp_path: Path) -> None:
    """Marks are read back. A damaged or missing file has none, and a folder in its place is no error."""
    file, marked = MarkFile(tmp_path / "marks"), MarkedTarget("shop.db", "t1", "10.0.0.1:1", hidden=True)
    assert file.read() == {}
    file.write({marked: MARK_PREFIX + 1})
    assert file.read() == {marked: MARK_PREFIX + 1}
    assert without(file.read(), [marked]) == {}
    (tmp_path / "marks").write_text("[[")
    assert file.read() == {}
    (tmp_path / "marks").unlink()
    (tmp_path / "marks").mkdir()
    file.write({})
    assert [path.name for path in tmp_path.iterdir()] == ["marks"]


def test_wanted_flows_on_disk(tmp_path: Path) -> None:
    """What is wanted is read back, by another process too. A damaged file wants nothing."""
    file, other = FlowFile(tmp_path), FlowFile(tmp_path)
    assert (file.exists(), other.read()) == (False, WantedFlows())
    file.write(ANY)
    assert (file.exists(), other.read(), file.read()) == (True, ANY, ANY)
    (tmp_path / "flows.json").write_text("{")
    assert (other.read(), other.found()) == (WantedFlows(), None)
    file.write(WantedFlows())
    assert other.found() == WantedFlows()
    file.write(ANY)
    assert other.read() == ANY
    file.remove()
    assert other.read() == WantedFlows()
    with pytest.raises(BalancerFault, match="cannot write"):
        FlowFile(tmp_path / "missing").write(ANY)


def test_counts_are_one_request(tmp_path: Path) -> None:
    """The agent is asked once for all counts of the kernel, which are those of one moment."""
    FlowFile(tmp_path).write(ANY)
    facts, traffic = {"shop.db": {"db-1": (True, 1)}}, {"shop.db": {"db-1": (3, 500)}}
    asked: list[str] = []
    with closing(socket.socket(socket.AF_UNIX)) as agent:
        agent.bind(str(tmp_path / "flows.sock"))
        agent.listen()

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with agent.accept()[0] as connection, connection.makefile("rb") as lines:
                        asked.append(json.loads(lines.readline())["do"])
                        found = {"traffic": traffic, "facts": facts}
                        connection.sendall(json.dumps({"found": found}).encode() + b"\n")

        thread = Thread(target=answer)
        thread.start()
        (counts,) = FlowPlane(tmp_path, FakePlane()).flow_counts()
        agent.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert (asked, dict(counts.counts)) == (["counts"], {"active": 1, "new": 3, "bytes": 500})


def test_counts_of_a_group_are_those_of_its_first_listener() -> None:
    """The kernel's counts of each target count for the first listener that forwards to its group, by its protocol."""
    second = ListenerFlows(
        "shop", "other", "192.0.2.2", 90, "udp", 120, False, False, (("shop.db", 1), ("shop.dns", 1))
    )
    wanted = WantedFlows((*ANY.listeners, second), {**ANY.groups, "shop.dns": GroupFlows()})
    traffic = {"shop.db": {"db-1": Traffic(3, 500)}, "shop.dns": {"dns-1": Traffic(2, 90)}}
    facts = {"shop.db": {"db-1": FlowFact(admitted=True, in_flight=1)}}
    found = {
        (each.name, each.port, each.transport): dict(each.counts) for each in kernel_counts(wanted, traffic, facts)
    }
    assert found == {
        ("edge", 80, "tcp"): {"active": 1, "new": 3, "bytes": 500},
        ("other", 90, "udp"): {"active": 0, "new": 2, "bytes": 90},
    }
