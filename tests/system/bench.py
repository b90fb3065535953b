"""A balancer with a real HAProxy in its own directory, and real loopback servers behind it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, TargetHealth, TargetState
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.loopback import LoopbackServer

OWNER = "shop"
GROUP = "web"


class Handler(BaseHTTPRequestHandler):
    """Answers with its server's name. `/slow` waits until the server is `released`."""

    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(self.server.health, b"")
            return
        with self.server.counting:
            self.server.requests += 1
        if self.server.dies:
            self.connection.close()
            raise ConnectionAbortedError
        if self.path == "/stream":
            self.stream()
            return
        if self.path == "/slow":
            self.server.released.wait(20)
        said = self.headers.get("X-Forwarded-For", "") if self.path == "/forwarded" else self.server.name
        self.answer(200, said.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def stream(self) -> None:
        """Send a response that takes three seconds and is never idle for one."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for part in [b"...."] * 15 + [b"the end"]:
            self.wfile.write(part)
            self.server.released.wait(0.2)
        self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class Backend(LoopbackServer):
    """A target whose health the test decides."""

    handler = Handler

    def __init__(self, name: str) -> None:
        self.dies = False
        super().__init__(name)


def declare(port: int, *, group: str = GROUP, health: dict[str, Any] | None = None, delay: str = "5s") -> Declaration:
    check = {"path": "/healthz", "interval": "100ms", "timeout": "80ms", **(health or {})}
    return Declaration.model_validate(
        {
            "target_groups": {group: {"port": 8080, "health_check": check, "deregistration_delay": delay}},
            "load_balancers": {
                "edge": {"scheme": "internal", "listeners": [{"port": port, "default_action": {"forward": group}}]}
            },
        }
    )


class Bench:
    """A balancer with one port and the servers behind it."""

    def __init__(self, directory: Path) -> None:
        self.balancer = Balancer(directory)
        self.port = free_port()
        self.backends: list[Backend] = []

    def backend(self, name: str) -> Backend:
        backend = Backend(name)
        self.backends.append(backend)
        return backend

    def health(self, name: str) -> TargetHealth | None:
        found = [h for h in self.balancer.target_health(OWNER, GROUP) if h.target.id == name]
        return found[0] if found else None

    def await_state(self, name: str, state: TargetState) -> TargetHealth:
        def reached() -> TargetHealth | None:
            health = self.health(name)
            return health if health and health.state is state else None

        found = until(reached, f"{name} is {state}; it is {self.health(name)}")
        assert isinstance(found, TargetHealth)
        return found

    def serve(self, *names: str, health: dict[str, Any] | None = None) -> list[Backend]:
        """Declare the group, register these targets and wait until they are healthy."""
        self.balancer.apply(OWNER, declare(self.port, health=health))
        backends = [self.backend(name) for name in names]
        for backend in backends:
            self.balancer.register(OWNER, GROUP, backend.target)
        for name in names:
            self.await_state(name, TargetState.HEALTHY)
        return backends

    def get(self, path: str = "/", port: int | None = None) -> tuple[int, str]:
        return self.ask("GET", path, port)

    def post(self, **headers: str) -> tuple[int, str]:
        return self.ask("POST", "/", body=b"once", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def ask(self, method: str, path: str, port: int | None = None, **more: Any) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def get_later(self, path: str) -> tuple[threading.Thread, list[object]]:
        """Send a request in a thread. Return the thread and the list that gets its answer or its error."""
        result: list[object] = []

        def ask() -> None:
            try:
                result.append(self.get(path))
            except (OSError, http.client.HTTPException) as error:
                result.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread, result
