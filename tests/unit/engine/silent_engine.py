"""A server in place of Docker that accepts every connection and does not answer."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VERSION = {"ApiVersion": "1.41", "Os": "linux", "Arch": "amd64", "Components": [{"Name": "Engine"}]}
_FIRST_ANSWER = {"Id": "a" * 64, "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}, "Config": {}, "Containers": {}}


class SilentEngine(socketserver.ThreadingUnixStreamServer):
    """Answers requests whose text contains one of `answered`. With `begins`, the others get the head of a response."""

    daemon_threads = True

    def __init__(self, path: Path, answered: tuple[str, ...], *, begins: bool) -> None:
        self.answered = answered
        self.begins = begins
        self.ended = threading.Event()
        self.requests: list[str] = []
        self.environment = {"DOCKER_HOST": f"unix://{path}"}
        super().__init__(str(path), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: SilentEngine
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), self.request.makefile("rb") as stream:
            while line := stream.readline().decode().strip():
                self.server.requests.append(line)
                size = 0
                while header := stream.readline().decode().strip():
                    if header.lower().startswith("content-length:"):
                        size = int(header.partition(":")[2])
                stream.read(size)
                self._answer(line)
                if line.endswith("HTTP/1.0"):
                    return

    def _answer(self, line: str) -> None:
        content = json.dumps({**_VERSION, **_FIRST_ANSWER}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        if any(text in line for text in self.server.answered):
            self.request.sendall(head + content)
        else:
            if self.server.begins:
                self.request.sendall(head + content[:1])
            self.server.ended.wait()


@contextmanager
def silent_engine(path: Path, *answered: str, begins: bool = False) -> Iterator[SilentEngine]:
    """Run a silent engine that listens at `path`. It answers the question for its version, and `answered`."""
    with SilentEngine(path, ("/version ", *answered), begins=begins) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
