"""Servers on loopback that tests stand behind a load balancer."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from pipeline.balancer.model import Target


class LoopbackServer(ThreadingHTTPServer):
    """A target that serves from the start. `released` lets go what it holds back."""

    daemon_threads = True
    request_queue_size = 256
    handler: ClassVar[type[BaseHTTPRequestHandler]]

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), self.handler)
        self.name = name
        self.health = 200
        self.requests = 0
        self.counting = threading.Lock()
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def target(self) -> Target:
        return Target(id=self.name, address=str(self.server_address[0]), port=self.server_address[1])

    def handle_error(self, *args: object) -> None: ...

    def end(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
