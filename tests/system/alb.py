"""A load balancer with any listeners, before servers that report the requests that reached them."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration, TargetState
from pipeline.balancer.planes import open_balancer
from tests.support.loopback import LoopbackServer
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until

OWNER = "shop"
# On a busy machine, a healthy target may be late some times.
CHECK = {"path": "/healthz", "interval": "100ms", "timeout": "80ms", "healthy_threshold": 2, "unhealthy_threshold": 5}


@dataclass(frozen=True)
class Answer:
    """The response that a client got."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def seen(self) -> dict[str, Any]:
        """The request that the server saw: `server`, `method`, `path`, `headers` (pairs, lower-case names), `body`."""
        return dict(json.loads(self.body))

    def seen_all(self, name: str) -> list[str]:
        """Return every value of a header that reached the server."""
        return [value for key, value in self.seen["headers"] if key == name.lower()]

    def seen_header(self, name: str) -> str | None:
        """Return the only value of a header that reached the server, or None."""
        values = self.seen_all(name)
        assert len(values) <= 1, values
        return values[0] if values else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Echo

    def handle_any(self) -> None:
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if path == "/healthz":
            self.answer(self.server.health, b"")
            return
        body = self.body()
        with self.server.counting:
            self.server.requests += 1
        if "end" in query:
            self.close_connection = True
            return
        if "wait" in query:
            self.server.released.wait(float(query["wait"]))
        seen = {
            "server": self.server.name,
            "method": self.command,
            "path": self.path,
            "headers": [(name.lower(), value) for name, value in self.headers.items()],
            "body": body.decode(errors="replace"),
        }
        self.answer(int(query.get("status", 200)), json.dumps(seen).encode(), query.get("cookie"))

    do_GET = do_POST = do_PUT = do_DELETE = do_PURGE = do_OPTIONS = do_PATCH = do_HEAD = handle_any  # noqa: N815

    def body(self) -> bytes:
        """Read the whole body, so its rest is not taken for the next request."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int, body: bytes, cookie: str | None = None) -> None:
        self.send_response(status)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Echo(LoopbackServer):
    """A server that answers with what it was sent; `?status=`, `?wait=` (seconds), `?cookie=`, `?end=` change how."""

    handler = _Handler


class Alb:
    """A balancer in a separate directory, with one load balancer `edge`."""

    def __init__(self, directory: Path) -> None:
        self.balancer = open_balancer(directory)
        self.port = free_port()
        self.servers: list[Echo] = []
        self._owners: set[str] = set()

    def declare(
        self,
        *listeners: Mapping[str, Any],
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        attributes: Mapping[str, Any] | None = None,
        owner: str = OWNER,
        scheme: str = "internal",
        zones: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare target groups, checked quickly, and listeners; the first is on `port` where it names none."""
        found = [{"port": self.port, **listeners[0]}, *listeners[1:]]
        self._owners.add(owner)
        edge = {"scheme": scheme, "zones": zones, "listeners": found, "attributes": dict(attributes or {})}
        checked = {
            name: {"port": 80, "health_check": CHECK, **group} for name, group in (groups or {"web": {}}).items()
        }
        declaration = Declaration.model_validate({"target_groups": checked, "load_balancers": {"edge": edge}})
        self.balancer.apply(owner, declaration)

    def worker(self) -> str:
        """Return the identity of HAProxy's current worker, which changes with a reload."""
        return re.findall(r"^Pid: (\d+)", Runtime(self.balancer.directory).ask_worker("show info"), re.MULTILINE)[0]

    def serve(self, *names: str, group: str = "web", owner: str = OWNER, zone: str | None = None) -> list[Echo]:
        """Start servers that are healthy targets of a group."""
        servers = [Echo(name) for name in names]
        self.servers += servers
        for server in servers:
            self.balancer.register(owner, group, server.target.model_copy(update={"zone": zone}))
        until(lambda: self.states(group, owner) >= dict.fromkeys(names, TargetState.HEALTHY).items(), "all are healthy")
        return servers

    def states(self, group: str = "web", owner: str = OWNER) -> Any:
        """Return the state of each target, after a reconciliation."""
        self.balancer.reconcile(owner, group)
        return {health.target.id: health.state for health in self.balancer.target_health(owner, group)}.items()

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        *headers: tuple[str, str],
        body: bytes | None = None,
        raw: bytes | None = None,
        host: str | None = "shop.test",
        source: str = "127.0.0.1",
        port: int | None = None,
        address: str = "127.0.0.1",
    ) -> Answer:
        """Send one request on a new connection, with its headers unchanged. `raw` is a body that they announce."""
        connection = http.client.HTTPConnection(
            address, port or self.port, timeout=DEADLINE, source_address=(source, 0)
        )
        with closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in ([("Host", host)] if host is not None else []) + list(headers):
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(raw if body is None else body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())

    def end(self) -> None:
        for server in self.servers:
            server.end()
        for owner in self._owners:
            self.balancer.withdraw(owner)
