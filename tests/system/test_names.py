"""The DNS server on loopback, with real clients over UDP and TCP."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from pipeline.balancer.names.directory import Directory
from pipeline.balancer.names.server import name_server
from pipeline.base.errors import ConfigError
from pipeline.base.sockets import has_ipv6
from tests.support.zoned import ZONES, application, declared

MANY = {f"zone-{n}": {"address": f"127.1.0.{n + 1}"} for n in range(100)}
DIRECTORY = Directory.from_registry(
    declared(shop={"edge": application(zones=ZONES), "many": application(8001, zones=MANY)}), lambda *_: True
)
EDGE = ["127.0.1.1", "127.0.2.1"]
TIMEOUT = 10.0


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield the port of a server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")
    port = listener.getsockname()[1]
    with name_server(lambda: DIRECTORY, listener):
        yield port


def query(name: str = "edge.elb.internal", kind: str = "A") -> dns.message.Message:
    return dns.message.make_query(name, kind)


def addresses(response: dns.message.Message) -> list[str]:
    return sorted(data.address for records in response.answer for data in records)


def test_udp_and_tcp() -> None:
    """Both transports answer on one port, and what is truncated over UDP is whole over TCP."""
    with serving() as port:
        assert addresses(dns.query.udp(query(), "127.0.0.1", TIMEOUT, port)) == EDGE
        assert addresses(dns.query.tcp(query(), "127.0.0.1", TIMEOUT, port)) == EDGE
        long = query("many.elb.internal")
        response, by_tcp = dns.query.udp_with_fallback(long, "127.0.0.1", TIMEOUT, port)
        assert (len(addresses(response)), by_tcp) == (100, True)


def test_a_resolver_finds_the_names() -> None:
    """A stub resolver gets the addresses, and knows that an unknown name does not exist."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    with serving() as resolver.port:
        assert sorted(each.address for each in resolver.resolve("edge.shop.elb.internal", "A")) == EDGE
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolver.resolve("gone.elb.internal", "A")
        with pytest.raises(dns.resolver.NoAnswer):
            resolver.resolve("edge.shop.elb.internal", "AAAA")


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.9.9.9"),
        pytest.param("::", "::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")),
        pytest.param("::", "127.9.9.9", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")),
    ],
)
def test_a_response_comes_from_the_address_that_was_asked(host: str, asked: str) -> None:
    """A server on every address answers from the one that the client has sent its query to.

    dnspython refuses a response from another address, as all clients do.
    """
    with serving(host) as port:
        assert addresses(dns.query.udp(query(), asked, TIMEOUT, port)) == EDGE


def test_several_queries_on_one_connection() -> None:
    """Queries that arrive together, and in pieces, are answered in their order."""
    queries = [query(), query("gone.elb.internal"), query("zone-b.edge.shop.elb.internal")]
    data = b"".join(len(wire).to_bytes(2, "big") + wire for wire in (each.to_wire() for each in queries))
    with serving() as port, socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        for cut in (slice(0, 1), slice(1, 50), slice(50, None)):
            connection.sendall(data[cut])
        found = [dns.query.receive_tcp(connection, one_rr_per_rrset=False)[0] for _ in queries]
    assert [response.id for response in found] == [each.id for each in queries]
    assert [response.rcode() for response in found] == [dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.NOERROR]
    assert addresses(found[2]) == ["127.0.2.1"]


def test_other_names_cost_no_look() -> None:
    """A query for another domain is refused without a read of the names, since a resolver may send all of them here."""
    reads: list[None] = []

    def read() -> Directory:
        reads.append(None)
        return DIRECTORY

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with name_server(read, listener):
        assert dns.query.udp(query("example.com"), "127.0.0.1", TIMEOUT, port).rcode() == dns.rcode.REFUSED
        assert reads == []
        assert addresses(dns.query.udp(query(), "127.0.0.1", TIMEOUT, port)) == EDGE
    assert len(reads) == 1


def test_broken_clients_disturb_nobody() -> None:
    """The server goes on after bytes that are no DNS, a connection that ends within a query, and too many of them."""
    with serving() as port, ExitStack() as stack:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for wire in (b"", b"x", bytes(12), b"\xff" * 600, query().to_wire()[:-1]):
                sender.sendto(wire, ("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.sendall(b"\x00\xff" + b"x" * 20)
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT)) for _ in range(120)]
        # The first hundred wait for a query, and the rest are closed at once.
        assert idle[-1].recv(1) == b""
        assert addresses(dns.query.udp(query(), "127.0.0.1", TIMEOUT, port)) == EDGE
        stack.close()
        assert addresses(dns.query.tcp(query(), "127.0.0.1", TIMEOUT, port)) == EDGE


def test_it_stops_with_open_connections() -> None:
    """The server frees its port although a client keeps a connection."""
    with ExitStack() as stack:
        port = stack.enter_context(serving())
        connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        assert addresses(dns.query.tcp(query(), "127.0.0.1", TIMEOUT, port, sock=None)) == EDGE
        stack.close()
        with connection:
            assert connection.recv(1) == b""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", port))


def test_a_udp_port_that_is_taken() -> None:
    """If only the UDP port is in use, the error names address and transport."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((host, port))
            with (
                pytest.raises(ConfigError, match=rf"^cannot listen at {host}:{port} over UDP: the address is in use$"),
                name_server(lambda: DIRECTORY, listener),
            ):
                pass


@pytest.mark.parametrize(
    "command",
    [
        ["dig", "+short", "@127.0.0.1", "-p", "{port}", "edge.elb.internal"],
        ["dig", "+short", "+tcp", "@127.0.0.1", "-p", "{port}", "edge.elb.internal"],
        ["nslookup", "-port={port}", "edge.elb.internal", "127.0.0.1"],
        ["host", "-p", "{port}", "edge.elb.internal", "127.0.0.1"],
    ],
)
def test_clients_of_debian(command: list[str]) -> None:
    """BIND's clients get both addresses, without a warning."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    with serving() as port:
        arguments = [word.format(port=port) for word in command]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert all(address in done.stdout for address in EDGE)
    assert "warning" not in (done.stdout + done.stderr).lower()
