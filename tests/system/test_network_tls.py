"""Network load balancers: TLS on both sides, and the PROXY header."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from pipeline.balancer.access import AccessLog, LogRecord
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import TargetState
from pipeline.balancer.telemetry.rendering import as_data
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import OWNER
from tests.system.nlb import Connection, Nlb, Proxied, network_balancer
from tests.system.pki import Pki, shake, shown
from tests.system.servers import Scripted, context

PROXY = {"attributes": {"proxy_protocol_v2.enabled": True}}


@pytest.fixture
def nlb(tmp_path: Path) -> Iterator[Nlb]:
    with network_balancer(tmp_path / "balancer") as made:
        yield made


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(trustme.CA(organization_name="Shop"), tmp_path_factory.mktemp("pki"))


def tls(*certificates: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"protocol": "TLS", "certificates": certificates, **more}


def test_tls_ends_at_the_load_balancer(nlb: Nlb, pki: Pki) -> None:
    """A TLS listener decrypts for TCP targets, and chooses the certificate by the requested name."""
    nlb.declare(tls(pki.issue("db", "db.test"), pki.issue("cache", "*.cache.test")))
    nlb.targets("a")
    with nlb.connection(tls=pki.client()) as made:
        assert made.ask() == "a"
    assert shown(nlb.port, "one.cache.test") == {"*.cache.test"}
    assert shown(nlb.port, "unknown.test") == {"db.test"}


def test_tls_to_targets(nlb: Nlb, pki: Pki) -> None:
    """A TLS target group gets TLS from the load balancer, which does not verify its certificate."""
    stranger = trustme.CA().issue_cert("localhost")
    nlb.declare(tls(pki.issue("db", "db.test")), groups={"db": {"protocol": "TLS"}})
    nlb.targets("a", tls=context(stranger))
    with nlb.connection(tls=pki.client()) as made:
        assert made.ask() == "a"


@pytest.mark.parametrize(
    ("policy", "offered", "chosen"),
    [
        (None, ["h2", "http/1.1"], None),
        ("None", ["h2", "http/1.1"], None),
        ("HTTP1Only", ["h2", "http/1.1"], "http/1.1"),
        ("HTTP2Only", ["h2", "http/1.1"], "h2"),
        ("HTTP2Optional", ["h2", "http/1.1"], "http/1.1"),
        ("HTTP2Preferred", ["http/1.1", "h2"], "h2"),
        ("HTTP2Optional", ["h2"], "h2"),
    ],
)
def test_alpn_policy(nlb: Nlb, pki: Pki, policy: str | None, offered: list[str], chosen: str | None) -> None:
    """The policy's order decides which of the client's protocols is used. The bytes are the target's, also with h2."""
    nlb.declare(tls(pki.issue("db", "db.test"), alpn_policy=policy))
    nlb.targets("a")
    client = pki.client()
    client.set_alpn_protocols(offered)
    with closing(shake(nlb.port, client, "db.test")) as made:
        assert made.selected_alpn_protocol() == chosen
        with closing(Connection(made)) as connection:
            assert connection.ask() == "a"


def test_a_policy_sets_the_lowest_version(nlb: Nlb, pki: Pki) -> None:
    """A listener with a policy of TLS 1.3 refuses TLS 1.2."""
    nlb.declare(tls(pki.issue("db", "db.test"), ssl_policy="ELBSecurityPolicy-TLS13-1-3-2021-06"))
    client = pki.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake(nlb.port, client, "db.test")


def test_a_slow_handshake_over_a_reload(nlb: Nlb, pki: Pki) -> None:
    """A connection whose TLS handshake ends after a reload goes to a target of now, not of then."""
    listener = tls(pki.issue("db", "db.test"))
    nlb.declare(listener)
    nlb.targets("a")
    with closing(socket.create_connection(("127.0.0.1", nlb.port), timeout=DEADLINE)) as raw:
        until(lambda: _accepted(nlb) >= 1, "HAProxy has accepted the connection")
        worker = nlb.worker()
        nlb.declare(listener, {"port": free_port()})
        assert nlb.worker() != worker
        nlb.targets("b")
        nlb.balancer.deregister(OWNER, "db", "a")
        with closing(Connection(pki.client().wrap_socket(raw, server_hostname="db.test"))) as made:
            assert made.ask() == "b"
        assert nlb.health("a").in_flight == 0


def _accepted(nlb: Nlb) -> int:
    info = Runtime(nlb.balancer.directory).ask_worker("show info")
    return int(next(line.split()[1] for line in info.splitlines() if line.startswith("CurrSslConns")))


def test_proxy_header(nlb: Nlb) -> None:
    """A target is sent the client's address and port before the first byte. A check's header has none."""
    nlb.declare(groups={"db": PROXY})
    (server,) = nlb.targets("a", proxied=True)
    with nlb.connection(source="127.0.0.9") as made:
        assert made.ask() == "a"
        assert made.address in server.headers
    assert made.address[0] == "127.0.0.9"
    assert {header for header in server.headers if header != made.address} == {None}


def test_proxy_header_through_tls(nlb: Nlb, pki: Pki) -> None:
    """A TLS listener sends the header too, and to TLS targets in clear before the handshake."""
    stranger = trustme.CA().issue_cert("localhost")
    nlb.declare(tls(pki.issue("db", "db.test")), groups={"db": {**PROXY, "protocol": "TLS"}})
    (server,) = nlb.targets("a", proxied=True, tls=context(stranger))
    with nlb.connection(tls=pki.client()) as made:
        assert made.ask() == "a"
        assert made.address in server.headers


@pytest.mark.parametrize("port", ["traffic-port", None])
def test_checks_by_http_begin_with_the_header(nlb: Nlb, port: str | None) -> None:
    """A target that requires the header passes its HTTP checks, on the traffic port and on another one."""
    server = Scripted("a")
    proxied = Proxied(server)
    check = {"protocol": "HTTP", "path": "/healthz", "port": port or proxied.port}
    nlb.servers += [server, proxied]  # type: ignore[list-item]
    nlb.declare(groups={"db": {**PROXY, "health_check": check}})
    nlb.balancer.register(OWNER, "db", proxied.target if port else server.target)
    nlb.await_states(a=TargetState.HEALTHY)
    assert set(proxied.headers) == {None}
    assert server.heads[0].startswith("GET /healthz HTTP/1.1")


def test_the_access_log_has_tls_connections(nlb: Nlb, pki: Pki) -> None:
    """A connection is logged at its end, and so is a failed handshake. TCP listeners and port scans leave no line."""
    other = free_port()
    nlb.declare(
        tls(pki.issue("db", "db.test"), alpn_policy="HTTP2Preferred"),
        {"port": other},
    )
    nlb.targets("a")
    client = pki.client()
    client.set_alpn_protocols(["h2"])
    with nlb.connection(tls=client) as made:
        made.ask("0123456789")
        address = "{}:{}".format(*made.address)
    assert logged(nlb, 1)[0] == {
        "elb": "net/edge/shop",
        "listener": str(nlb.port),
        "client:port": address,
        "destination:port": f"127.0.0.1:{nlb.port}",
        "received_bytes": 11,
        "sent_bytes": 13,
        "incoming_tls_alert": None,
        "tls_cipher": "TLS_AES_128_GCM_SHA256",
        "tls_protocol_version": "tlsv13",
        "domain_name": "db.test",
        "alpn_fe_protocol": "h2",
    }
    with nlb.connection(port=other) as made:
        made.ask()
    socket.create_connection(("127.0.0.1", nlb.port)).close()
    distrusting = ssl.create_default_context()
    raw = socket.create_connection(("127.0.0.1", nlb.port))
    with distrusting.wrap_socket(raw, server_hostname="db.test", do_handshake_on_connect=False) as made:
        with pytest.raises(ssl.SSLError):
            made.do_handshake()
        # The connection is still open: HAProxy may not read an alert that comes together with the connection's end.
        assert [entry["incoming_tls_alert"] for entry in logged(nlb, 2)] == [48, None]


def logged(nlb: Nlb, number: int) -> list[dict[str, Any]]:
    """Return the fields that are known of as many connections, the newest first, once they are logged."""
    log = nlb.balancer.access_log()
    found = [as_data(record.entry()) for record in until(lambda: _all(log, number), "the connections are logged")]
    assert log.unreadable == 0
    assert all(len(str(entry["chosen_cert_serial"])) > 10 for entry in found)
    unknown = {"type", "version", "time", "connection_time", "tls_handshake_time", "tls_connection_creation_time"}
    unknown |= {"chosen_cert_arn", "chosen_cert_serial", "tls_named_group", "alpn_be_protocol"}
    unknown |= {"alpn_client_preference_list"}
    return [{name: value for name, value in entry.items() if name not in unknown} for entry in found]


def _all(log: AccessLog, number: int) -> list[LogRecord] | None:
    found = list(log.newest_first())
    return found if len(found) == number else None
