"""Requests and files that try to bypass rules or to inject configuration."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import trustme

from pipeline.base.errors import ConfigError
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, SOON
from tests.system.alb import OWNER, Alb

_DENIED = {"fixed_response": {"status_code": 403}}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*b*c*d*", "/abcd" + "a" * 100 + "b" * 100 + "c" * 100),
        ("*/admin/*/edit/*", "/admin/x/edit/" + "/admin/" * 1900),
        ("/a*b?c*d", "/a" + "b" * 3000 + "xc" + "c" * 3000 + "d"),
    ],
)
def test_padding(alb: Alb, pattern: str, path: str) -> None:
    """A long path that matches in many ways matches at once."""
    rule = {"priority": 1, "conditions": [{"path_pattern": [pattern]}], "action": _DENIED}
    alb.declare({"rules": [rule], "default_action": {"fixed_response": {"status_code": 200}}})
    started = time.monotonic()
    assert alb.ask(path).status == 403
    assert time.monotonic() - started < SOON


def test_padded_headers(alb: Alb) -> None:
    """A long header or query that matches in many ways matches at once."""
    header = {"http_header": {"name": "X-A", "values": ["*select*from*where*"]}}
    query = {"query_string": [{"key": "*a*b", "value": "*c*d"}]}
    rules = [{"priority": n, "conditions": [c], "action": _DENIED} for n, c in enumerate((header, query), start=1)]
    alb.declare({"rules": rules, "default_action": {"fixed_response": {"status_code": 200}}})
    text = "select from where " + "select from " * 800
    assert alb.ask("/", "GET", ("X-A", text)).status == 403
    assert alb.ask(f"/?{'ab' * 1500}={'cd' * 1500}").status == 403
    assert alb.ask(f"/?{'ab' * 1500}={'dc'}").status == 200


def test_a_brace_is_a_value(alb: Alb) -> None:
    """Special characters of HAProxy's configuration are plain text in a condition."""
    values = ["x", "}", "or", "{", "always_true"]
    rule = {"priority": 1, "conditions": [{"http_header": {"name": "X-A", "values": values}}], "action": _DENIED}
    alb.declare({"rules": [rule], "default_action": {"fixed_response": {"status_code": 200}}})
    assert [alb.ask("/", "GET", ("X-A", value)).status for value in (*values, "y")] == [403] * 5 + [200]


def test_connect_opens_no_tunnel(alb: Alb) -> None:
    """CONNECT gets 405, because a tunnel would bypass the rules."""
    alb.declare({"default_action": {"forward": "web"}})
    (server,) = alb.serve("a")
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE) as connection:
        connection.sendall(b"CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 405")
    assert server.requests == 0


def test_methods_that_may_have_an_effect_are_sent_once(alb: Alb) -> None:
    """Only idempotent methods are retried on another target."""
    alb.declare({"default_action": {"forward": "web"}})
    servers = alb.serve("a", "b", "c")
    assert alb.ask("/?end=1", "PURGE").status == 502
    assert sum(server.requests for server in servers) == 1
    assert alb.ask("/?end=1", "GET").status == 502
    assert sum(server.requests for server in servers) == 3


def test_what_stands_between_certificates_is_no_command(alb: Alb, tmp_path: Path) -> None:
    """Text between certificates does not reach HAProxy."""
    path = tmp_path / "shop.pem"

    def issue() -> bytes:
        return trustme.CA().issue_cert("shop.test").private_key_and_cert_chain_pem.bytes()

    path.write_bytes(issue())
    listener = {"protocol": "HTTPS", "certificates": [{"certificate": str(path)}], "default_action": _DENIED}
    alb.declare(listener)
    worker, renewed = alb.worker(), issue()
    hostile = b"for people\n\nshutdown frontend shop.edge.%d\n\n" % alb.port
    path.write_bytes(hostile + renewed.replace(b"-----BEGIN", b"\n\n-----BEGIN"))
    alb.balancer.ensure_running()
    kept = next(alb.balancer.directory.glob("certificate.*.pem")).read_bytes()
    assert kept == renewed.replace(b"\r\n", b"\n")
    assert alb.worker() == worker
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE):
        pass


def test_keys_leave_with_their_listener(alb: Alb, tmp_path: Path) -> None:
    """The copy of a private key is removed with the last listener that uses it."""
    path = tmp_path / "shop.pem"
    trustme.CA().issue_cert("shop.test").private_key_and_cert_chain_pem.write_to_path(str(path))
    certificates = [{"certificate": str(path)}]
    alb.declare({"protocol": "HTTPS", "certificates": certificates, "default_action": _DENIED})
    assert len(list(alb.balancer.directory.glob("certificate.*"))) == 1
    alb.declare({"default_action": _DENIED})
    assert list(alb.balancer.directory.glob("certificate.*")) == []


def test_sockets_leave_with_their_listener(alb: Alb) -> None:
    """The socket that a listener makes in the balancer's directory is removed with it."""
    other = {"port": free_port(), "default_action": _DENIED}
    alb.declare({"default_action": _DENIED}, other)
    assert len(list(alb.balancer.directory.glob("relay.*"))) == 2
    alb.declare({"default_action": _DENIED})
    assert [path.name for path in alb.balancer.directory.glob("relay.*")] == [f"relay.{alb.port}.sock"]
    assert alb.ask().status == 403


def test_the_protocol_of_targets_is_settled(alb: Alb) -> None:
    """The protocol of a group cannot change while it has targets."""
    alb.declare({"default_action": {"forward": "web"}})
    (server,) = alb.serve("a")
    with pytest.raises(ConfigError, match="protocol_version of target group web cannot change from HTTP1 to HTTP2"):
        alb.declare({"default_action": {"forward": "web"}}, groups={"web": {"protocol_version": "HTTP2"}})
    assert alb.ask().status == 200
    alb.balancer.deregister(OWNER, "web", server.name)
    alb.balancer.remove_target(OWNER, "web", server.name)
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": {"protocol_version": "HTTP2"}})


def test_a_change_that_was_cut_short_is_finished_by_a_turn(alb: Alb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any reconciliation completes a change that was interrupted."""
    alb.declare({"default_action": {"forward": "web"}})
    alb.serve("a")
    rule = {"priority": 1, "conditions": [{"path_pattern": ["/x"]}], "action": _DENIED}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.balancer.haproxy.plane.HAProxyPlane.apply", killed)
        with pytest.raises(KeyboardInterrupt):
            alb.declare({"rules": [rule], "default_action": {"forward": "web"}})
    assert alb.ask("/x").status == 200
    alb.balancer.reconcile(OWNER, "web")
    assert alb.ask("/x").status == 403
