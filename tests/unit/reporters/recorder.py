"""An HTTP server on loopback that stands in for a forge and keeps every request."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import DEADLINE


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ReceivedRequest(self.command, self.path, dict(self.headers), body))
        status, headers, response = self.server.responses.pop(0) if self.server.responses else (201, {}, b"{}")
        self.server.released.wait(DEADLINE)
        # Without the date of the machine, which a test may set.
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(response))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response)

    def log_message(self, *args: object) -> None: ...


class Recorder(ThreadingHTTPServer):
    """Keeps every request. Responds with the next of `responses`, else with 201, once `released` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ReceivedRequest] = []
        self.responses: list[tuple[int, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.released.set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: object) -> None: ...
