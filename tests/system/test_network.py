"""Network load balancers: connections over TCP, their targets, health checks and deregistration."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Target, TargetState
from pipeline.balancer.model.network.attributes import NetworkListenerAttributes
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, SOON, until
from tests.system.alb import OWNER, Echo
from tests.system.nlb import Nlb, TcpServer, network_balancer, set_reset

COUNT = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
TERMINATION = "target_health_state.unhealthy.connection_termination.enabled"
INTERVAL = "target_health_state.unhealthy.draining_interval_seconds"
HTTP_CHECK = {"protocol": "HTTP", "path": "/healthz"}
# Checks that notice no failure while a test runs.
RARELY = {"interval": "10s", "timeout": "1s", "unhealthy_threshold": 10}


@pytest.fixture
def nlb(tmp_path: Path) -> Iterator[Nlb]:
    with network_balancer(tmp_path / "balancer") as made:
        yield made


def web(nlb: Nlb, *names: str) -> list[Echo]:
    """Start HTTP servers, whose health the test sets, as targets of `db`."""
    servers = [Echo(name) for name in names]
    nlb.servers += servers
    nlb.balancer.register(OWNER, "db", *(server.target for server in servers))
    nlb.await_states(**dict.fromkeys(names, TargetState.HEALTHY))
    return servers


def web_share(nlb: Nlb, number: int) -> Counter[str]:
    return Counter(nlb.ask().seen["server"] for _ in range(number))


def test_connections_are_spread_over_the_targets(nlb: Nlb) -> None:
    """Each of three targets gets about a third of the connections, and a connection stays with its target."""
    nlb.declare()
    nlb.targets("a", "b", "c")
    shares = Counter(nlb.reached(300))
    assert set(shares) == {"a", "b", "c"}
    assert min(shares.values()) > 60, shares
    with nlb.connection() as made:
        assert len({made.ask() for _ in range(10)}) == 1


def test_an_unhealthy_target_leaves(nlb: Nlb) -> None:
    """A target that is down can be deregistered and removed. It can come back later."""
    nlb.declare()
    down, _ = nlb.targets("a", "b")
    down.end()
    nlb.await_states(a=TargetState.UNHEALTHY)
    nlb.balancer.deregister(OWNER, "db", "a")
    assert dict(nlb.states("db"))["a"] == TargetState.DRAINING
    nlb.balancer.remove_target(OWNER, "db", "a")
    assert Runtime(nlb.balancer.directory).servers("shop.db").keys() == {"b", "b:open"}
    down.listen()
    nlb.balancer.register(OWNER, "db", down.target)
    nlb.await_states(a=TargetState.HEALTHY)
    assert set(nlb.reached(10)) == {"a", "b"}


def test_a_new_target_waits_for_its_check(nlb: Nlb) -> None:
    """A target whose port refuses connections is initial, and gets none."""
    nlb.declare()
    nlb.targets("a")
    nlb.balancer.register(OWNER, "db", Target(id="b", address="127.0.0.1", port=free_port()))
    until(lambda: "Connection refused" in nlb.health("b").description, "a check has failed")
    assert nlb.health("b").state is TargetState.INITIAL
    assert set(nlb.reached(20)) == {"a"}


def test_a_client_stays_with_its_target_by_its_address(nlb: Nlb) -> None:
    """With stickiness, all connections of an address go to one target, also after a reload and with a new target."""
    group = {"attributes": {"stickiness.enabled": True}, "health_check": RARELY}
    nlb.declare(groups={"db": group})
    nlb.targets("a", "b", "c")
    sources = [f"127.0.0.{number}" for number in range(2, 42)]
    before = {source: set(nlb.reached(3, source=source)) for source in sources}
    assert {len(found) for found in before.values()} == {1}
    assert set.union(*before.values()) == {"a", "b", "c"}
    worker = nlb.worker()
    nlb.declare({}, {"port": free_port()}, groups={"db": group})
    assert nlb.worker() != worker
    assert {source: set(nlb.reached(1, source=source)) for source in sources} == before
    nlb.targets("d")
    after = {source: set(nlb.reached(1, source=source)) for source in sources}
    moved = [source for source in sources if after[source] != before[source]]
    assert all(after[source] == {"d"} for source in moved)
    assert 0 < len(moved) < 25


def test_without_a_healthy_target_all_get_connections(nlb: Nlb) -> None:
    """A group without a healthy target fails open, and recovers."""
    nlb.declare(groups={"db": {"health_check": HTTP_CHECK}})
    a, b = web(nlb, "a", "b")
    a.health = 404
    nlb.await_states(a=TargetState.UNHEALTHY)
    assert set(web_share(nlb, 20)) == {"b"}
    b.health = 500
    nlb.await_states(a=TargetState.UNHEALTHY, b=TargetState.UNHEALTHY)
    assert set(web_share(nlb, 40)) == {"a", "b"}
    a.health = 302
    nlb.await_states(a=TargetState.HEALTHY)
    assert set(web_share(nlb, 20)) == {"a"}


def test_with_fewer_healthy_targets_than_needed_all_get_connections(nlb: Nlb) -> None:
    """A group that needs two healthy targets sends connections to all if only one is."""
    nlb.declare(groups={"db": {"health_check": HTTP_CHECK, "attributes": {COUNT: 2}}})
    a, _, _ = web(nlb, "a", "b", "c")
    a.health = 500
    nlb.await_states(a=TargetState.UNHEALTHY)
    assert set(web_share(nlb, 30)) == {"b", "c"}
    nlb.balancer.deregister(OWNER, "db", "b")
    nlb.balancer.remove_target(OWNER, "db", "b")
    assert set(web_share(nlb, 40)) == {"a", "c"}


def test_a_refused_connection_goes_to_another_target(nlb: Nlb) -> None:
    """No client notices a target that refuses connections before its checks do."""
    nlb.declare(groups={"db": {"health_check": RARELY}})
    a, _ = nlb.targets("a", "b")
    a.end()
    assert set(nlb.reached(30)) == {"b"}


def test_a_draining_target_keeps_its_connections(nlb: Nlb) -> None:
    """A deregistered target gets no new connection. Its open one works until it is closed or aborted."""
    nlb.declare()
    nlb.targets("a")
    with nlb.connection() as first, nlb.connection() as second:
        assert first.ask() == second.ask() == "a"
        nlb.targets("b")
        nlb.balancer.deregister(OWNER, "db", "a")
        assert set(nlb.reached(20)) == {"b"}
        assert first.ask() == "a"
        health = nlb.health("a")
        assert (health.state, health.in_flight) == (TargetState.DRAINING, 2)
        first.close()
        until(lambda: nlb.health("a").in_flight == 1, "one is left")
        nlb.balancer.abort_connections(OWNER, "db", "a")
        assert second.ends()
        assert nlb.health("a").in_flight == 0
    nlb.balancer.remove_target(OWNER, "db", "a")
    assert [h.target.id for h in nlb.balancer.target_health(OWNER, "db")] == ["b"]


@pytest.mark.parametrize("terminates", [True, False])
def test_connections_of_an_unhealthy_target(nlb: Nlb, terminates: bool) -> None:
    """A target that becomes unhealthy loses its connections, unless the group keeps them. The others stay."""
    nlb.declare(groups={"db": {"attributes": {TERMINATION: terminates}}})
    servers = {server.name: server for server in nlb.targets("a", "b")}
    with ExitStack() as stack:
        made = [stack.enter_context(nlb.connection()) for _ in range(20)]
        by_name = {name: [one for one in made if one.ask() == name] for name in servers}
        assert all(by_name.values())
        servers["a"].end()
        nlb.await_states(a=TargetState.UNHEALTHY)
        assert [one.ends() if terminates else one.ask() for one in by_name["a"]] == (
            [True] * len(by_name["a"]) if terminates else ["a"] * len(by_name["a"])
        )
        assert {one.ask() for one in by_name["b"]} == {"b"}


def test_connections_of_an_unhealthy_target_end_with_its_interval(nlb: Nlb) -> None:
    """Until then, the target is `unhealthy.draining` and gets no new ones. A reload does not start it again."""
    drains = {TERMINATION: False, INTERVAL: 3}
    nlb.declare(groups={"db": {"attributes": drains}})
    servers = {server.name: server for server in nlb.targets("a", "b")}
    with ExitStack() as stack:
        made = [stack.enter_context(nlb.connection()) for _ in range(20)]
        by_name = {name: [one for one in made if one.ask() == name] for name in servers}
        servers["a"].end()
        nlb.await_states(a=TargetState.UNHEALTHY_DRAINING)
        assert {one.ask() for one in by_name["a"]} == {"a"}
        assert set(nlb.reached(10)) == {"b"}
        until(lambda: nlb.health("a").state_age >= timedelta(seconds=1), "a second has passed")
        nlb.declare({}, {"port": free_port()}, groups={"db": {"attributes": drains}})
        assert nlb.health("a").state_age >= timedelta(seconds=1)
        nlb.await_states(a=TargetState.UNHEALTHY)
        # The state may have been read after the reconciliation before.
        nlb.balancer.reconcile()
        assert all(one.ends() for one in by_name["a"])
        assert {one.ask() for one in by_name["b"]} == {"b"}
        servers["a"].listen()
        nlb.await_states(a=TargetState.HEALTHY)


def test_a_reload_keeps_connections(nlb: Nlb) -> None:
    """A connection outlives a reload. It is counted and can be aborted, although another worker accepts new ones."""
    nlb.declare()
    nlb.targets("a")
    worker = nlb.worker()
    with nlb.connection() as made:
        assert made.ask() == "a"
        nlb.declare({}, {"port": free_port()})
        assert nlb.worker() != worker
        assert made.ask() == "a"
        assert nlb.health("a").in_flight == 1
        nlb.targets("b")
        nlb.balancer.deregister(OWNER, "db", "a")
        assert nlb.health("a").in_flight == 1
        assert set(nlb.reached(10)) == {"b"}
        nlb.balancer.abort_connections(OWNER, "db", "a")
        assert made.ends()


def test_reloads_lose_no_new_connection(nlb: Nlb) -> None:
    """While HAProxy is reloaded ten times, every new connection is accepted and answered."""
    nlb.declare()
    nlb.targets("a", "b")
    done, found, lost = Event(), Counter[str](), list[OSError]()

    def connect() -> None:
        while not done.is_set():
            try:
                found.update(nlb.reached(1))
            except OSError as error:
                lost.append(error)

    threads = [Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        nlb.declare({}, {"port": free_port()})
        enough = sum(found.values()) + 20
        until(lambda enough=enough: lost or sum(found.values()) >= enough, f"connections after reload {number}")
    done.set()
    for thread in threads:
        thread.join()
    assert lost == []
    assert set(found) == {"a", "b"}


class _Ticking(TcpServer):
    """A server that sends a line every half second, eight times, and is silent after that."""

    def serve(self, connection: socket.socket) -> None:
        for number in range(8):
            connection.sendall(f"{number}\n".encode())
            self.paused.wait(0.5)
        self.paused.wait(DEADLINE)

    paused = Event()


def test_an_idle_connection_is_closed(nlb: Nlb) -> None:
    """The idle timeout counts from the last byte in either direction, so a silent client's download continues."""
    attributes = NetworkListenerAttributes.model_construct(tcp_idle_timeout=3)
    nlb.declare(attributes=attributes)
    server = _Ticking("a")
    nlb.servers.append(server)  # type: ignore[arg-type]
    nlb.balancer.register(OWNER, "db", server.target)
    nlb.await_states(a=TargetState.HEALTHY)
    with socket.create_connection(("127.0.0.1", nlb.port), timeout=DEADLINE) as client, client.makefile("rb") as lines:
        begin = time.monotonic()
        assert [int(line) for line in lines] == list(range(8))
        assert 6 < time.monotonic() - begin < SOON
    server.paused.set()


def test_a_client_may_end_its_side_first(nlb: Nlb) -> None:
    """A client that shuts its sending side still gets the answer."""
    nlb.declare()
    nlb.targets("a")
    with socket.create_connection(("127.0.0.1", nlb.port), timeout=DEADLINE) as client:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"a hello\n"
        assert client.recv(100) == b""


def test_resets_of_both_sides(nlb: Nlb) -> None:
    """The reset of a client reaches the target as one. That of a target reaches the client as a regular end."""
    nlb.declare()
    with socket.create_server(("127.0.0.1", 0)) as server:
        nlb.balancer.register(OWNER, "db", Target(id="a", address="127.0.0.1", port=server.getsockname()[1]))
        nlb.await_states(a=TargetState.HEALTHY)
        client, target = talking(nlb, server)
        with client, target:
            set_reset(target)
            target.close()
            assert client.recv(9) == b""
        client, target = talking(nlb, server)
        with client, target:
            set_reset(client)
            client.close()
            with pytest.raises(ConnectionResetError):
                target.recv(9)


def talking(nlb: Nlb, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Return the client's and the target's end of a connection that has carried data both ways."""
    client = socket.create_connection(("127.0.0.1", nlb.port), timeout=DEADLINE)
    client.sendall(b"ask")
    server.settimeout(DEADLINE)
    while True:
        target, _ = server.accept()
        target.settimeout(DEADLINE)
        # A check sends nothing, and ends or resets its connection.
        with suppress(OSError):
            if target.recv(9) == b"ask":
                break
        target.close()
    target.sendall(b"half")
    assert client.recv(9) == b"half"
    return client, target


def test_without_targets_connections_are_closed(nlb: Nlb) -> None:
    """A listener whose group has no targets closes each connection."""
    nlb.declare()
    with nlb.connection() as made:
        assert made.ends()


def test_weights_of_target_groups(nlb: Nlb) -> None:
    """Connections are spread over target groups by weight, which changes without a reload."""

    def declare(blue: int, green: int) -> None:
        weighted = [{"target_group": "blue", "weight": blue}, {"target_group": "green", "weight": green}]
        nlb.declare({"default_action": {"forward": weighted}}, groups={"blue": {}, "green": {}})

    declare(9, 1)
    nlb.targets("b", group="blue")
    nlb.targets("g", group="green")
    shares = Counter(nlb.reached(300))
    assert 5 <= shares["g"] <= 70, shares
    worker = nlb.worker()
    declare(0, 1)
    assert nlb.worker() == worker
    assert set(nlb.reached(20)) == {"g"}


def test_connections_are_not_logged(nlb: Nlb) -> None:
    """The access log has no line of a network load balancer."""
    nlb.declare(groups={"db": {"health_check": HTTP_CHECK}})
    web(nlb, "a")
    assert nlb.ask().seen["server"] == "a"
    assert list(nlb.balancer.access_log().newest_first()) == []
    assert nlb.balancer.access_log().unreadable == 0


def test_every_server_is_removed(nlb: Nlb) -> None:
    """A removed target leaves no server in HAProxy."""
    nlb.declare()
    nlb.targets("a", "b")
    nlb.balancer.deregister(OWNER, "db", "a")
    nlb.balancer.remove_target(OWNER, "db", "a")
    assert {*Runtime(nlb.balancer.directory).servers("shop.db")} == {"b", "b:open"}
