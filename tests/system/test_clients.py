"""Current clients and servers through the balancer: curl, requests, gRPC and WebSockets."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pipeline.balancer.model import TargetState
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb
from tests.system.servers import H2, Grpc, Paced, Scripted, WebSocket, context

Server = Grpc | WebSocket | H2 | Scripted | Paced
# On a busy machine, a check may be answered late.
CALM = {**CHECK, "interval": "1s", "timeout": "900ms", "unhealthy_threshold": 2}
TCP = {key: value for key, value in CALM.items() if key != "path"} | {"protocol": "TCP"}


class Pki:
    """A certificate for `localhost`, in files and as clients trust it."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.leaf = authority.issue_cert("localhost", "127.0.0.1")
        self.authorities = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.authorities)
        self.file = directory / "localhost.pem"
        self.leaf.private_key_and_cert_chain_pem.write_to_path(self.file)
        self.client = ssl.create_default_context(cafile=str(self.authorities))
        # The WebSocket client reads and writes in two threads, which an `ssl` object does not support. With TLS 1.3 the
        # session tickets arrive while it writes its request, and that request may be lost.
        self.client.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Site:
    """A balancer with an HTTP and an HTTPS listener before the same group."""

    def __init__(self, alb: Alb, pki: Pki, **group: Any) -> None:
        self.alb, self.pki, self.group = alb, pki, group
        self.secure = free_port()
        self.declare()

    def declare(self, *more: int) -> None:
        """Declare the site, with plain listeners on more ports."""
        forward = {"default_action": {"forward": "web"}}
        https = {"port": self.secure, "protocol": "HTTPS", "certificates": [{"certificate": str(self.pki.file)}]}
        others = [{"port": port, **forward} for port in more]
        self.alb.declare(forward, {**https, **forward}, *others, groups={"web": {"health_check": CALM, **self.group}})

    def reload(self) -> None:
        worker = self.alb.worker()
        self.declare(free_port())
        assert self.alb.worker() != worker

    def serve(self, *servers: Server) -> None:
        """Put servers in service."""
        self.alb.servers += servers  # type: ignore[arg-type]
        self.alb.balancer.register(OWNER, "web", *(server.target for server in servers))
        wanted = dict.fromkeys((server.name for server in servers), TargetState.HEALTHY)
        until(lambda: self.alb.states() >= wanted.items(), "all are healthy")

    def url(self, secure: bool, scheme: str = "http") -> str:
        return f"{scheme}s://localhost:{self.secure}" if secure else f"{scheme}://localhost:{self.alb.port}"

    def in_flight(self) -> dict[str, int]:
        return {health.target.id: health.in_flight for health in self.alb.balancer.target_health(OWNER, "web")}


BOTH = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])


def curl(site: Site, *arguments: str, secure: bool) -> tuple[str, str, str]:
    """Return the protocol version, the status and the body."""
    command = ["curl", "--silent", "--show-error", "--max-time", "10", "--cacert", str(site.pki.authorities)]
    told = ["--write-out", "\n%{http_version} %{http_code}", *arguments, site.url(secure) + "/path?q=1"]
    done = subprocess.run([*command, *told], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT)
    body, _, last = done.stdout.rpartition("\n")
    version, status = last.split()
    return version, status, body


@pytest.mark.parametrize(
    ("arguments", "secure", "version"),
    [
        (["--http1.0"], False, "1.1"),
        (["--http1.1"], False, "1.1"),
        (["--http1.1"], True, "1.1"),
        # A plain listener does not upgrade a connection, which continues as HTTP/1.1.
        (["--http2"], False, "1.1"),
        (["--http2"], True, "2"),
        (["--http2-prior-knowledge"], False, "2"),
        (["--http2-prior-knowledge"], True, "2"),
    ],
)
def test_curl(site: Site, arguments: list[str], secure: bool, version: str) -> None:
    """Every version of HTTP reaches a target that speaks HTTP/1.1, with the body and the query."""
    spoken, status, body = curl(site, *arguments, "--data", "x" * 100_000, secure=secure)
    assert (spoken, status) == (version, "200")
    seen = json.loads(body)
    assert (seen["method"], seen["path"], len(seen["body"])) == ("POST", "/path?q=1", 100_000)
    assert ("x-forwarded-proto", "https" if secure else "http") in map(tuple, seen["headers"])


def test_curl_with_many_requests_on_one_connection(site: Site) -> None:
    """Streams of one HTTP/2 connection are spread over the targets."""
    urls = [f"{site.url(True)}/{number}" for number in range(20)]
    trusting = ["--cacert", str(site.pki.authorities)]
    command = ["curl", "--silent", "--http2", "--parallel", *trusting, "--write-out", "#%{num_connects}#", *urls]
    answers = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT).stdout
    assert {int(number) for number in re.findall(r'"path": "/(\d+)"', answers)} == set(range(20))
    assert Counter(re.findall(r'"server": "(\w)"', answers)) == {"a": 10, "b": 10}
    assert sum(map(int, re.findall(r"#(\d+)#", answers))) == 1


@BOTH
def test_requests(site: Site, secure: bool) -> None:
    """A session keeps its connection and its cookies, and bodies come back unchanged."""
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(site.pki.authorities)
        for size in (0, 1, 16_384, 1_000_000):
            answer = session.post(f"{site.url(secure)}/?cookie=size%3D{size}", data=b"y" * size, timeout=DEADLINE)
            assert answer.status_code == 200
            assert answer.json()["body"] == "y" * size
        answer = session.get(site.url(secure), timeout=DEADLINE)
        assert ["cookie", "size=1000000"] in answer.json()["headers"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Site]:
    """Two plain servers."""
    alb = Alb(tmp_path_factory.mktemp("site") / "balancer")
    try:
        site = Site(alb, pki)
        alb.serve("a", "b")
        yield site
    finally:
        alb.end()


@pytest.mark.parametrize(
    ("protocol", "version"), [("HTTP", "HTTP2"), ("HTTPS", "HTTP2"), ("HTTPS", "HTTP1")], ids=["h2c", "h2", "https"]
)
def test_targets_that_speak_something_else(alb: Alb, pki: Pki, tmp_path: Path, protocol: str, version: str) -> None:
    """Targets may use HTTP/2 and TLS, and HTTP/1.1 for an HTTP/2 group gets 464."""
    site = Site(alb, pki, protocol=protocol, protocol_version=version, health_check={**CALM, "protocol": protocol})
    tls = pki.leaf if protocol == "HTTPS" else None
    site.serve(H2("a", tmp_path, tls) if version == "HTTP2" else Scripted("a", context(pki.leaf)))
    body = "a" if version == "HTTP2" else "hello"
    for secure in (False, True):
        flag = "--http2" if secure else "--http2-prior-knowledge"
        assert curl(site, flag, secure=secure) == ("2", "200", body)
    status = curl(site, "--http1.1", secure=False)[1]
    assert status == ("464" if version == "HTTP2" else "200")


def channel(site: Site, secure: bool) -> grpc.Channel:
    if not secure:
        return grpc.insecure_channel(f"localhost:{site.alb.port}")
    trusted = grpc.ssl_channel_credentials(site.pki.authorities.read_bytes())
    return grpc.secure_channel(f"localhost:{site.secure}", trusted)


@pytest.fixture(scope="module")
def grpc_site(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Site]:
    """Two gRPC servers, checked as ELB does where nothing else is said."""
    alb = Alb(tmp_path_factory.mktemp("grpc") / "balancer")
    check = {key: value for key, value in CALM.items() if key != "path"}
    try:
        site = Site(alb, pki, protocol_version="GRPC", health_check=check)
        site.serve(Grpc("a"), Grpc("b"))
        yield site
    finally:
        alb.end()


@BOTH
def test_grpc_calls(grpc_site: Site, secure: bool) -> None:
    """Calls of one connection are spread over targets, and a stream stays with one target."""
    with channel(grpc_site, secure) as connection:
        say: Any = connection.unary_unary("/shop.Echo/Say")
        assert {say(b"hi", timeout=DEADLINE) for _ in range(6)} == {b"a:hi", b"b:hi"}
        assert say(b"x" * 1_000_000, timeout=DEADLINE)[2:] == b"x" * 1_000_000
        count: Any = connection.unary_stream("/shop.Echo/Count")
        assert [int(number) for number in count(b"300", timeout=DEADLINE)] == list(range(300))
        chat: Any = connection.stream_stream("/shop.Echo/Chat")
        answers = list(chat(iter([b"1", b"2", b"3"]), timeout=DEADLINE))
        assert answers in ([b"a:1", b"a:2", b"a:3"], [b"b:1", b"b:2", b"b:3"])


@BOTH
def test_a_grpc_conversation_goes_to_and_fro(grpc_site: Site, secure: bool) -> None:
    """Each message of a stream is answered before the next one is sent."""
    answered = threading.Semaphore(1)

    def messages() -> Iterator[bytes]:
        for number in range(5):
            assert answered.acquire(timeout=DEADLINE)
            yield str(number).encode()

    with channel(grpc_site, secure) as connection:
        chat: Any = connection.stream_stream("/shop.Echo/Chat")
        heard = []
        for answer in chat(messages(), timeout=DEADLINE):
            heard.append(answer[2:])
            answered.release()
    assert heard == [b"0", b"1", b"2", b"3", b"4"]


@BOTH
def test_grpc_errors_arrive(grpc_site: Site, secure: bool) -> None:
    """A client gets the status and text of an error, also for an unknown method."""
    with channel(grpc_site, secure) as connection:
        for method, code, text in (
            ("Fail", grpc.StatusCode.FAILED_PRECONDITION, "not today, thanks"),
            ("Nothing", grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
        ):
            call: Any = connection.unary_unary(f"/shop.Echo/{method}")
            with pytest.raises(grpc.RpcError) as failed:
                call(b"", timeout=DEADLINE)
            assert (failed.value.code(), failed.value.details()) == (code, text)


def test_grpc_calls_outlive_their_target(alb: Alb, pki: Pki) -> None:
    """Calls on one connection go on through a replacement of the target and a reload; none fails."""
    site = Site(alb, pki, protocol_version="GRPC", health_check=TCP)
    site.serve(Grpc("old"))
    with channel(site, secure=True) as connection:
        say: Any = connection.unary_unary("/shop.Echo/Say")
        assert say(b"", timeout=DEADLINE) == b"old:"
        site.serve(Grpc("new"))
        alb.balancer.deregister(OWNER, "web", "old")
        assert {say(b"", timeout=DEADLINE) for _ in range(6)} == {b"new:"}
        site.reload()
        assert {say(b"", timeout=DEADLINE) for _ in range(6)} == {b"new:"}


def websocket(site: Site, secure: bool) -> ClientConnection:
    trusted = site.pki.client if secure else None
    return connect(site.url(secure, "ws"), ssl=trusted, proxy=None, open_timeout=DEADLINE, close_timeout=1)


def said(connection: ClientConnection, text: str) -> str:
    connection.send(text)
    return str(connection.recv(timeout=DEADLINE))


@pytest.fixture
def chat(alb: Alb, pki: Pki) -> Site:
    """Two servers of WebSockets."""
    site = Site(alb, pki, health_check=TCP)
    site.serve(WebSocket("a"), WebSocket("b"))
    return site


@BOTH
def test_a_websocket_stays_with_its_target(chat: Site, secure: bool) -> None:
    """Each WebSocket stays with its target and counts as in flight."""
    with websocket(chat, secure) as one, websocket(chat, secure) as other:
        assert {said(connection, "x" * 100_000)[0] for connection in (one, other)} == {"a", "b"}
        for connection in (one, other):
            assert len({said(connection, str(number))[0] for number in range(10)}) == 1
        assert chat.in_flight() == {"a": 1, "b": 1}
    until(lambda: chat.in_flight() == {"a": 0, "b": 0}, "nothing is in flight")


@BOTH
def test_a_websocket_survives_a_reload_and_a_deregistration(chat: Site, secure: bool) -> None:
    """A WebSocket lasts until the deregistration delay ends."""
    with websocket(chat, secure) as connection:
        name = said(connection, "1")[0]
        chat.reload()
        assert said(connection, "2") == f"{name}:2"
        chat.alb.balancer.deregister(OWNER, "web", name)
        assert said(connection, "3") == f"{name}:3"
        assert chat.in_flight()[name] == 1
        with websocket(chat, secure) as another:
            assert said(another, "4")[0] != name
        assert said(connection, "5") == f"{name}:5"
        chat.alb.balancer.abort_connections(OWNER, "web", name)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=DEADLINE)
    until(lambda: chat.in_flight()[name] == 0, "nothing is in flight")


def test_a_websocket_that_a_target_refuses(alb: Alb, pki: Pki) -> None:
    """A client gets the target's response to a refused upgrade."""
    site = Site(alb, pki)
    site.serve(Paced("a"))
    with pytest.raises(InvalidStatus) as refused:
        websocket(site, secure=False)
    assert refused.value.response.status_code == 200
