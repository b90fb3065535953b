"""The effects of attributes of load balancers and listeners on requests and responses."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.process import CONFIGURATION
from pipeline.balancer.model import Declaration
from pipeline.balancer.model.application.attributes import ListenerAttributes, LoadBalancerAttributes
from pipeline.balancer.model.attributes import Attributes, NodeGroupAttributes
from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from tests.support.pipeline_yaml import GOOD
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, SOON, until
from tests.system.alb import CHECK, OWNER, Alb, Answer

# Used only by this process: on 127.0.0.1, another connection could take a free port first.
_ADDRESS = f"127.{os.getpid() // 65536 % 200 + 1}.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}"
XFF_MODE, XFF_PORT = "routing.http.xff_header_processing.mode", "routing.http.xff_client_port.enabled"
DROP, PRESERVE_HOST = "routing.http.drop_invalid_header_fields.enabled", "routing.http.preserve_host_header.enabled"
TLS_TOLD, HTTP2 = "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "routing.http2.enabled"
IDLE, KEEP_ALIVE = "idle_timeout.timeout_seconds", "client_keep_alive.seconds"
VERSION_NAME = "routing.http.request.x_amzn_tls_version.header_name"
SUITE_NAME = "routing.http.request.x_amzn_tls_cipher_suite.header_name"
SERVER = "routing.http.response.server.enabled"
SET = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Access-Control-Allow-Origin": "https://shop.test",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "X-A, X-B",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "X-C",
    "Access-Control-Max-Age": "86400",
    "Content-Security-Policy": "default-src 'self'; report-uri /csp?a=%20\"b\"",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
SETS = {f"routing.http.response.{name.lower().replace('-', '_')}.header_value": value for name, value in SET.items()}


@dataclass(frozen=True)
class Entry:
    """A load balancer with one listener. Port 0 is any."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    listener: Mapping[str, Any] = field(default_factory=dict)
    address: str = _ADDRESS
    port: int = 0

    @property
    def secure(self) -> bool:
        return self.listener.get("protocol") == "HTTPS"

    def works(self) -> bool:
        """Return whether this machine has the address and this user may bind the port."""
        try:
            with socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET) as probe:
                probe.bind((self.address, self.port))
        except OSError:
            return False
        return True

    def declared(self, port: int, certificate: str) -> dict[str, Any]:
        found: dict[str, Any] = {"port": port, "default_action": {"forward": "web"}, "rules": [_FIXED]}
        found |= self.listener
        if self.secure:
            found["certificates"] = [{"certificate": certificate}]
        return {"address": self.address, "listeners": [found], "attributes": dict(self.attributes)}


_FIXED = {
    "priority": 1,
    "conditions": [{"path_pattern": ["/fixed"]}],
    "action": {"fixed_response": {"status_code": 200, "message_body": "fixed"}},
}
_HTTPS = {"protocol": "HTTPS"}
ENTRIES: Mapping[str, Entry] = {
    "plain": Entry(),
    "secure": Entry(listener=_HTTPS),
    "port 80": Entry(port=80),
    "v6": Entry(address="::1"),
    "preserve": Entry({XFF_MODE: "preserve", XFF_PORT: True}),
    "remove": Entry({XFF_MODE: "remove", XFF_PORT: True}),
    "client port": Entry({XFF_PORT: True}),
    "client port v6": Entry({XFF_PORT: True}, address="::1"),
    "host": Entry({PRESERVE_HOST: True}),
    "drop": Entry({DROP: True}),
    "tls told": Entry({TLS_TOLD: True}, _HTTPS),
    "tls named": Entry({TLS_TOLD: True}, _HTTPS | {"attributes": {VERSION_NAME: "X-TLS", SUITE_NAME: "X-Suite"}}),
    "sets": Entry(listener={"attributes": SETS}),
    "nameless": Entry(listener={"attributes": {SERVER: False}}),
    "no h2": Entry({HTTP2: False}),
    "no h2 secure": Entry({HTTP2: False}, _HTTPS),
}


class Edges:
    """All load balancers before one server, with their ports."""

    def __init__(self, certificates: trustme.CA) -> None:
        self.ports = {name: entry.port or free_port() for name, entry in ENTRIES.items() if entry.works()}
        self.context = ssl.create_default_context()
        certificates.configure_trust(self.context)

    def connect(self, name: str, alpn: Sequence[str] = ()) -> socket.socket:
        """Return a connection for raw requests."""
        if name not in self.ports:
            pytest.skip(f"{ENTRIES[name]} cannot be had here")
        entry = ENTRIES[name]
        connection = socket.create_connection((entry.address, self.ports[name]), timeout=DEADLINE)
        if not entry.secure:
            return connection
        self.context.set_alpn_protocols(list(alpn))
        return self.context.wrap_socket(connection, server_hostname="localhost")

    def ask(self, name: str, *headers: str, path: str = "/", method: str = "GET", host: str = "shop.test") -> Answer:
        """Send one request and return the response. `{port}` in its body stands for the client's port."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
        with self.connect(name) as connection:
            connection.sendall("\r\n".join(lines).encode())
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            port = str(connection.getsockname()[1]).encode()
            return Answer(answer.status, answer.getheaders(), answer.read().replace(b":" + port, b":{port}"))


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    directory = tmp_path_factory.mktemp("edges")
    certificates = trustme.CA()
    pem = directory / "certificate.pem"
    certificates.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    edges = Edges(certificates)
    balancers = {name.replace(" ", "-"): ENTRIES[name].declared(port, str(pem)) for name, port in edges.ports.items()}
    alb = Alb(directory / "balancer")
    group = {"port": 80, "health_check": CHECK}
    declaration = Declaration.model_validate({"target_groups": {"web": group}, "load_balancers": balancers})
    try:
        alb.balancer.apply(OWNER, declaration)
        alb.serve("a")
        yield edges
    finally:
        alb.end()
        alb.balancer.withdraw(OWNER)


FORWARDED = [
    ("plain", [], ["127.0.0.1"]),
    ("plain", ["203.0.113.7"], ["203.0.113.7, 127.0.0.1"]),
    ("plain", ["203.0.113.7, 198.51.100.2"], ["203.0.113.7, 198.51.100.2, 127.0.0.1"]),
    ("plain", ["203.0.113.7", "198.51.100.2"], ["203.0.113.7, 198.51.100.2, 127.0.0.1"]),
    ("plain", ["a, b", "c", "d,e"], ["a, b, c, d,e, 127.0.0.1"]),
    ("plain", ["unknown; \"x'y\\1 %[src] %%"], ["unknown; \"x'y\\1 %[src] %%, 127.0.0.1"]),
    ("plain", [""], ["127.0.0.1"]),
    ("secure", ["203.0.113.7"], ["203.0.113.7, 127.0.0.1"]),
    ("v6", ["2001:db8::1"], ["2001:db8::1, ::1"]),
    ("client port", [], ["127.0.0.1:{port}"]),
    ("client port", ["203.0.113.7"], ["203.0.113.7, 127.0.0.1:{port}"]),
    ("client port v6", [], ["[::1]:{port}"]),
    ("client port v6", ["203.0.113.7"], ["203.0.113.7, [::1]:{port}"]),
    ("preserve", [], []),
    ("preserve", ["203.0.113.7"], ["203.0.113.7"]),
    ("preserve", ["203.0.113.7", "198.51.100.2"], ["203.0.113.7", "198.51.100.2"]),
    ("remove", [], []),
    ("remove", ["203.0.113.7", "198.51.100.2"], []),
]


@pytest.mark.parametrize(("name", "sent", "seen"), FORWARDED)
def test_forwarded_for(edges: Edges, name: str, sent: list[str], seen: list[str]) -> None:
    """X-Forwarded-For is appended to, kept or removed as declared, in one line."""
    # A line of another header between two of them, and one that only looks like it.
    lines = [line for value in sent for line in (f"X-Forwarded-For: {value}", "X-Forwarded-For-Us: no")]
    assert edges.ask(name, *lines).seen_all("x-forwarded-for") == seen


@pytest.mark.parametrize(("name", "protocol"), [("plain", "http"), ("secure", "https"), ("preserve", "http")])
@pytest.mark.parametrize("sent", [[], ["X-Forwarded-{}: 1"], ["X-Forwarded-{}: 1", "x-forwarded-{}: 2"]])
def test_forwarded_proto_and_port(edges: Edges, name: str, protocol: str, sent: list[str]) -> None:
    """X-Forwarded-Proto and -Port are the listener's, not the client's."""
    for header, expected in (("Proto", protocol), ("Port", str(edges.ports[name]))):
        answer = edges.ask(name, *(line.format(header) for line in sent))
        assert answer.seen_all(f"x-forwarded-{header.lower()}") == [expected]


_ID = "1-[0-9a-f]{8}-[0-9a-f]{24}"
_ROOT = "Root=1-67891233-abcdef012345678912345678"
TRACES = [
    ([], f"Root={_ID}"),
    ([""], f"Root={_ID}"),
    ([_ROOT], f"Self={_ID};{_ROOT}"),
    ([f"{_ROOT};CalledFrom=app"], f"Self={_ID};{_ROOT};CalledFrom=app"),
    ([f"CalledFrom=a,b;{_ROOT};Sampled=1"], f"Self={_ID};CalledFrom=a,b;{_ROOT};Sampled=1"),
    ([f"Self=1-2-3;{_ROOT};CalledFrom=app"], f"Self=(?!1-2-3){_ID};{_ROOT};CalledFrom=app"),
    ([f"{_ROOT};Self=1-2-3"], f"Self={_ID};{_ROOT}"),
    ([f"{_ROOT}; self=1-2-3; A=b"], f"Self={_ID};{_ROOT}; A=b"),
    ([f"{_ROOT};NotSelf=1;Self=2;Self=3"], f"Self={_ID};{_ROOT};NotSelf=1"),
    (["Self=1-2-3"], f"Root={_ID}"),
    (["CalledFrom=app"], f"Root={_ID};CalledFrom=app"),
    (["garbage \"'%[src]\\1 ;;"], f"Root={_ID};{re.escape('garbage')} \"'%\\[src\\]\\\\1 ;;"),
    ([_ROOT, "Root=second"], f"Self={_ID};{_ROOT}"),
    ([f"{_ROOT};Long={'x' * 7200}"], f"Root={_ID}"),
]


@pytest.mark.parametrize(("sent", "seen"), TRACES, ids=[" + ".join(sent)[:60] or "none" for sent, _ in TRACES])
def test_trace_id(edges: Edges, sent: list[str], seen: str) -> None:
    """A request without a root gets one, and a root gets a Self before it, in one line."""
    answer = edges.ask("plain", *(f"X-Amzn-Trace-Id: {value}" for value in sent))
    assert re.fullmatch(seen, answer.seen_header("x-amzn-trace-id") or "")


def test_trace_ids_tell_the_time_and_are_unique(edges: Edges) -> None:
    """A trace id begins with its second and differs each time."""
    found = [(edges.ask("plain").seen_header("x-amzn-trace-id") or "").split("-") for _ in range(50)]
    assert all(abs(int(time_, 16) - time.time()) < 30 for _, time_, _ in found)
    assert len({identity for _, _, identity in found}) == 50


HOSTS = [
    ("plain", "shop.test", "shop.test:{listener}"),
    ("plain", "shop.test:1234", "shop.test:1234"),
    ("plain", "SHOP.test", "SHOP.test:{listener}"),
    ("plain", "[::1]", "[::1]:{listener}"),
    ("plain", "[::1]:1234", "[::1]:1234"),
    ("plain", "", ""),
    ("port 80", "shop.test", "shop.test"),
    ("port 80", "SHOP.test:80", "SHOP.test"),
    ("port 80", "shop.test:1234", "shop.test"),
    ("port 80", "[::1]:80", "[::1]"),
    ("host", "shop.test", "shop.test"),
    ("host", "Shop.test:1234", "Shop.test:1234"),
]


@pytest.mark.parametrize(("name", "sent", "seen"), HOSTS)
def test_host_header(edges: Edges, name: str, sent: str, seen: str) -> None:
    """The Host header gets a port that is not a default one, unless it is preserved."""
    answer = edges.ask(name, host=sent)
    assert answer.seen_header("host") == seen.replace("{listener}", str(edges.ports[name]))


def test_a_host_in_the_request_line_wins(edges: Edges) -> None:
    """Targets see the host of a whole URL in the request line."""
    answer = edges.ask("plain", path="http://line.test/x", host="line.test")
    assert answer.seen_header("host") == f"line.test:{edges.ports['plain']}"


@pytest.mark.parametrize(
    ("name", "kept"), [("drop", {"x-good-1", "9"}), ("plain", {"x-good-1", "9", "x_bad", "x.bad"})]
)
def test_invalid_header_fields(edges: Edges, name: str, kept: set[str]) -> None:
    """Headers with anything but letters, digits and dashes are dropped if declared."""
    seen = edges.ask(name, "X-Good-1: a", "9: a", "X_Bad: a", "X.Bad: a", "X_Bad: b").seen["headers"]
    assert {header for header, value in seen if value in ("a", "b")} == kept


@pytest.fixture
def impatient(alb: Alb) -> Alb:
    """A load balancer with an idle timeout of a second."""
    alb.declare({"default_action": {"forward": "web"}, "rules": [_FIXED]}, attributes={IDLE: 1})
    alb.serve("a")
    return alb


def test_idle_timeout_of_a_target(impatient: Alb) -> None:
    """A target that is silent for the idle timeout costs its client a 504."""
    began = time.monotonic()
    assert impatient.ask("/?wait=5").status == 504
    assert 0.9 < time.monotonic() - began < SOON


# HAProxy treats an interrupted body as a bad request, unless it waits for the body first.
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n", 408),
        ("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", 408),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", 400),
    ],
    ids=["head", "body that is waited for", "body"],
)
def test_idle_timeout_of_a_client(impatient: Alb, sent: str, status: int) -> None:
    """A client that stops within its request gets an error, and its connection is closed."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE) as connection:
        connection.sendall(sent.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert 0.9 < time.monotonic() - began < SOON


def test_idle_timeout_between_requests(impatient: Alb) -> None:
    """An idle connection is closed without a response."""
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE) as connection:
        connection.sendall(b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        began = time.monotonic()
        assert connection.recv(1) == b""
    assert 0.9 < time.monotonic() - began < SOON


def test_client_keep_alive(alb: Alb) -> None:
    """The first response past a connection's age closes it, and earlier ones do not."""
    alb.declare({"default_action": {"fixed_response": {"status_code": 200}}}, attributes={KEEP_ALIVE: 60})
    configuration = alb.balancer.directory / CONFIGURATION
    text = configuration.read_text()
    assert text.count("set-var(sess.until) date(60)") == 1
    configuration.write_text(text.replace("date(60)", "date(1)"))
    assert Runtime(alb.balancer.directory).reload() is None
    with closing(http.client.HTTPConnection("127.0.0.1", alb.port, timeout=DEADLINE)) as connection:
        # HAProxy counts whole seconds.
        assert not _closes(connection)
        until(lambda: _closes(connection), "an answer closes it")
        assert connection.sock is None


def _closes(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.getheader("Connection") == "close"


@pytest.mark.parametrize(
    ("name", "version", "suite"),
    [("tls told", "x-amzn-tls-version", "x-amzn-tls-cipher-suite"), ("tls named", "x-tls", "x-suite")],
)
def test_tls_version_and_cipher_suite(edges: Edges, name: str, version: str, suite: str) -> None:
    """Targets get the client's TLS in the declared headers, which a client cannot forge."""
    with edges.connect(name) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        spoken, cipher = connection.version(), connection.cipher()
    assert cipher is not None
    answer = edges.ask(name, f"{version}: lie", f"{suite}: lie")
    assert (answer.seen_all(version), answer.seen_all(suite)) == ([spoken], [cipher[0]])


def test_tls_is_not_told_unless_wanted(edges: Edges) -> None:
    """By default, targets get no TLS headers."""
    assert edges.ask("secure").seen_all("x-amzn-tls-version") == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/?status=500", 500), ("GET", "/fixed", 200), ("TRACE", "/", 405)],
)
def test_response_headers(edges: Edges, method: str, path: str, status: int) -> None:
    """Every response has the listener's headers: a target's, a rule's and a generated one."""
    answer = edges.ask("sets", path=path, method=method)
    assert answer.status == status
    assert {name: answer.all(name) for name in SET} == {name: [value] for name, value in SET.items()}


def test_response_headers_in_place_of_a_target_s_own(edges: Edges) -> None:
    """A target's value of such a header is replaced, and others stay."""
    # The server writes the value as it is, line feeds included.
    path = "/?cookie=a%0d%0aX-Frame-Options:SAMEORIGIN%0d%0aX-Frame-Options:ALLOW%0d%0aX-Other:1"
    assert edges.ask("plain", path=path).all("x-frame-options") == ["SAMEORIGIN", "ALLOW"]
    answer = edges.ask("sets", path=path)
    assert (answer.all("x-frame-options"), answer.all("x-other")) == (["DENY"], ["1"])


@pytest.mark.parametrize(
    ("method", "path", "own"), [("GET", "/", False), ("GET", "/fixed", True), ("TRACE", "/", True)]
)
def test_server_header(edges: Edges, method: str, path: str, own: bool) -> None:
    """Generated responses have a Server header unless it is off, and a target's stays."""
    for name, expected in (("plain", "penstock"), ("nameless", None)):
        said = edges.ask(name, path=path, method=method).header("server")
        assert said == expected if own else str(said).startswith("BaseHTTP")


@pytest.mark.parametrize(("name", "spoken"), [("secure", "h2"), ("no h2 secure", "http/1.1")])
def test_http2_over_tls(edges: Edges, name: str, spoken: str) -> None:
    """HTTP/2 is offered over TLS unless it is off."""
    with edges.connect(name, ["h2", "http/1.1"]) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == spoken


@pytest.mark.parametrize(("name", "answer"), [("plain", b"\x00\x00"), ("no h2", b"HTTP/1.1 400 ")])
def test_http2_without_tls(edges: Edges, name: str, answer: bytes) -> None:
    """A client may begin with HTTP/2 without TLS unless it is off."""
    with edges.connect(name) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        assert connection.recv(65536).startswith(answer)


REFUSED = [
    (section, key)
    for section in (LoadBalancerAttributes, ListenerAttributes, NodeGroupAttributes)
    for key in section.refused
]


@pytest.mark.parametrize(("section", "key"), REFUSED)
def test_refused_attributes_say_why(section: type[Attributes], key: str) -> None:
    """An ELB attribute that is not supported is refused with the reason, not as an unknown key."""
    written = f"{key}count" if key.endswith(".") else key
    with pytest.raises(ValidationError) as caught:
        section.model_validate({written: "1"})
    assert f"is not supported: {section.refused[key]}" in str(caught.value)


SLIPS = [
    ("edge:", "attributes: {idle_timeout.timeout_second: 5}", "did you mean idle_timeout.timeout_seconds?"),
    ("edge:", f"attributes: {{{XFF_MODE}s: append}}", f"did you mean {XFF_MODE}?"),
    ("edge:", "attributes: {waf.fail_open.enabled: true}", "is not supported: it configures AWS WAF"),
    ("edge:", f"attributes: {{{XFF_MODE}: drop}}", "must be one of append, preserve, remove, got 'drop'"),
    ("edge:", f"attributes: {{{IDLE}: 4001}}", "must be at most 4000, got 4001"),
    ("edge:", f"attributes: {{{KEEP_ALIVE}: 59}}", "must be at least 60, got 59"),
    ("web:", "attributes: {stickiness.enable: true}", "did you mean stickiness.enabled?"),
]


@pytest.mark.parametrize(("place", "written", "said"), SLIPS)
def test_mistakes_in_attributes(tmp_path: Path, place: str, written: str, said: str) -> None:
    """A wrong key or value in pipeline.yaml is reported with a correction."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(GOOD.replace(f"    {place}\n", f"    {place}\n      {written}\n", 1))
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert said in caught.value.message


def test_each_load_balancer_has_its_own_idle_timeout(alb: Alb) -> None:
    """Each request has the idle timeout of the load balancer that received it."""
    quick, patient = alb.port, free_port()
    alb.declare({"default_action": {"forward": "web"}})
    declared = alb.balancer.declaration(OWNER)
    assert declared is not None
    edge = declared.load_balancers["edge"].model_dump()
    listener = {"port": patient, "default_action": {"forward": "web"}}
    balancers = {
        "edge": {**edge, "attributes": {"idle_timeout.timeout_seconds": 1}},
        "other": {"scheme": "internal", "listeners": [listener]},
    }
    both = Declaration.model_validate({**declared.model_dump(), "load_balancers": balancers})
    alb.balancer.apply(OWNER, both)
    alb.serve("a")
    assert alb.ask("/?wait=2", port=quick).status == 504
    assert alb.ask("/?wait=2", port=patient).status == 200
