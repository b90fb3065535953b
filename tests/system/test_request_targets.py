"""Request lines and hosts in unusual forms, and both families of addresses."""

from __future__ import annotations

import json
import socket

import pytest

from pipeline.base.sockets import has_ipv6
from pipeline.http.serving import public_socket
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE
from tests.system.alb import Alb

_FORWARD = {"default_action": {"forward": "web"}}
_SECRET = {
    "rules": [
        {
            "priority": 1,
            "conditions": [{"host_header": ["shop.test"]}, {"path_pattern": ["/secret*"]}],
            "action": {"fixed_response": {"status_code": 403}},
        }
    ],
    **_FORWARD,
}


def _say(alb: Alb, line: str, host: str | None = "shop.test") -> tuple[int, dict[str, object]]:
    """Send a request line. Return the status, and what the target saw."""
    head = f"{line}\r\n{f'Host: {host}{chr(13)}{chr(10)}' if host else ''}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    body = answer.partition(b"\r\n\r\n")[2]
    return int(answer.split()[1]), json.loads(body) if body.startswith(b"{") else {}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("GET http://shop.test/a?b=c HTTP/1.1", "/a?b=c"),
        ("GET HTTP://SHOP.TEST:80/a HTTP/1.1", "/a"),
        ("GET https://user:word@shop.test/a HTTP/1.1", "/a"),
        ("POST http://shop.test HTTP/1.1", "/"),
        ("OPTIONS http://shop.test HTTP/1.1", "*"),
        ("OPTIONS * HTTP/1.1", "*"),
    ],
)
def test_targets_get_a_path(alb: Alb, line: str, path: str) -> None:
    """A whole URL in the request line, as clients send it to a proxy, reaches the target as a path."""
    alb.declare(_SECRET)
    alb.serve("a")
    status, seen = _say(alb, line)
    assert (status, seen["path"]) == (200, path)


def test_the_host_of_a_url_counts(alb: Alb) -> None:
    """Without a Host header, rules and targets get the host of the URL."""
    alb.declare(_SECRET)
    alb.serve("a")
    assert _say(alb, "GET http://shop.test/secret HTTP/1.1", None)[0] == 403
    headers = dict(_say(alb, "GET http://shop.test/a HTTP/1.1", None)[1]["headers"])  # type: ignore[call-overload]
    assert headers["host"] == f"shop.test:{alb.port}"


@pytest.mark.parametrize(
    "target",
    [
        "secret",
        "*",
        "?a=b",
        "ftp://shop.test/a",
        "http:///secret",
        "./secret",
        "http://shop.test?a=b",
        "http://shop.test:80?a",
    ],
)
def test_what_is_no_path_is_refused(alb: Alb, target: str) -> None:
    """A request for neither a path nor a URL gets 400, because rules would not see its path."""
    alb.declare(_SECRET)
    (server,) = alb.serve("a")
    assert _say(alb, f"GET {target} HTTP/1.1")[0] == 400
    assert server.requests == 0


@pytest.mark.parametrize("host", ["shop.test.", "SHOP.test.:80", "shop.test"])
def test_a_dot_at_the_end_of_a_host_changes_no_rule(alb: Alb, host: str) -> None:
    """Rules match a fully qualified name, and the target gets it as the client sent it."""
    alb.declare(_SECRET)
    alb.serve("a")
    assert alb.ask("/secret", host=host).status == 403
    assert str(alb.ask("/a", host=host).seen_header("host")).startswith(host.partition(":")[0])


_ELSE = {"host": "else.test", "status_code": "HTTP_301"}
# Redirects, and whether they need the host of the request.
_REDIRECTS: list[tuple[dict[str, str], bool]] = [
    ({"port": "8443", "status_code": "HTTP_301"}, True),
    ({**_ELSE, "host": "www.#{host}"}, True),
    ({**_ELSE, "query": "from=#{host}"}, True),
    ({**_ELSE, "path": "/#{host}/#{path}"}, True),
    (_ELSE, False),
    ({**_ELSE, "path": "/#{path}", "query": "#{query}&port=#{port}"}, False),
]


@pytest.mark.parametrize(("redirect", "needs_host"), _REDIRECTS)
def test_a_redirect_needs_a_host(alb: Alb, redirect: dict[str, str], needs_host: bool) -> None:
    """A redirect that uses the host of the request anywhere gets 400 if there is none, also beside a port."""
    alb.declare({"default_action": {"redirect": redirect}})
    hosts = [None, "", ":", ":24871", "shop.test", "shop.test:1", "[::1]:1"]
    statuses = [_say(alb, "GET / HTTP/1.0", host)[0] for host in hosts]
    refused = [400, 400, 400, 400] if needs_host else [301, 301, 301, 301]
    assert statuses == [*refused, 301, 301, 301]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_internet_facing_listener_has_both_families(alb: Alb) -> None:
    """Clients reach it by IPv4 and IPv6. Beside a listener with an IPv6 address, it is left the IPv4 addresses."""
    alb.declare(_FORWARD, scheme="internet-facing")
    alb.serve("a")
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, alb.port), timeout=DEADLINE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_public_address_has_both_families() -> None:
    """`--public [::]:PORT` accepts clients by IPv4 too."""
    port = free_port()
    with public_socket(f"[::]:{port}"):
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=DEADLINE).close()
