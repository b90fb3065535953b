"""A loopback server that stands for a target."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

from tests.support.loopback import LoopbackServer
from tests.support.waiting import DEADLINE


class Handler(BaseHTTPRequestHandler):
    """Answers with its server's name. `/slow` waits until the server is `released`."""

    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.server.checks += 1
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
            self.server.released.wait(DEADLINE)
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

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        self.dies = False
        self.checks = 0
        super().__init__(name, host)
