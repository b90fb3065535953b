"""New connections wait for a restart of HAProxy while a holder has its listening sockets."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.bench import OWNER, Bench, declare


@contextmanager
def held(balancer: Balancer) -> Iterator[None]:
    """A holder of HAProxy's listening sockets."""
    with balancer.standby():
        yield


def kill(bench: Bench) -> None:
    """Kill HAProxy as a crash would."""
    master = bench.balancer.pid()
    assert master is not None
    os.kill(master, signal.SIGKILL)
    until(lambda: Runtime(bench.balancer.directory).fingerprint() is None, "HAProxy is gone")


def asked(port: int) -> socket.socket:
    """Return a connection on which a request has been sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
    return connection


def is_refused(port: int) -> bool:
    """Return whether the connection is refused."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def answer(connection: socket.socket) -> int:
    """Return the status of the response."""
    with connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status


def test_what_connects_meanwhile_is_answered(bench: Bench) -> None:
    """Connections wait over repeated crashes and a reload, and get responses."""
    bench.serve("a", "b")
    with held(bench.balancer):
        for _ in range(3):
            kill(bench)
            waiting = [asked(bench.port) for _ in range(20)]
            assert bench.balancer.pid() is None
            assert bench.balancer.ensure_running() is True
            assert [answer(connection) for connection in waiting] == [200] * 20
            bench.balancer.apply("other", declare(free_port()))
            bench.balancer.withdraw("other")
    assert answer(asked(bench.port)) == 200


def test_without_a_holder_it_is_refused(bench: Bench) -> None:
    """Without a holder, a connection to a dead HAProxy is refused."""
    bench.serve("a")
    with held(bench.balancer):
        pass
    kill(bench)
    until(lambda: is_refused(bench.port), "the port is closed")


def test_a_listener_that_is_gone_is_refused(bench: Bench) -> None:
    """The socket of a removed listener is not held."""
    bench.serve("a")
    extra = free_port()
    with held(bench.balancer):
        bench.balancer.apply("other", declare(extra))
        kill(bench)
        bench.balancer.ensure_running()
        bench.balancer.withdraw("other")
        until(lambda: is_refused(extra), "the port is closed for the other owner")
        assert answer(asked(bench.port)) == 200
        bench.balancer.withdraw(OWNER)
        until(lambda: is_refused(bench.port), "the port is closed")


def test_many_listeners(bench: Bench) -> None:
    """A holder handles more listeners than HAProxy sends in one message."""
    bench.serve("a")
    ports = [free_port() for _ in range(300)]
    listeners = [{"port": port, "default_action": {"fixed_response": {"status_code": 204}}} for port in ports]
    many = {
        "target_groups": {"spare": {"port": 8080}},
        "load_balancers": {"many": {"scheme": "internal", "listeners": listeners}},
    }
    bench.balancer.apply("other", Declaration.model_validate(many))
    with held(bench.balancer):
        kill(bench)
        waiting = [asked(port) for port in ports]
        bench.balancer.ensure_running()
        assert [answer(connection) for connection in waiting] == [204] * 300
