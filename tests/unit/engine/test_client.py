"""The connections of the SDK's client, counted by a server on a Unix socket."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.engine.docker.connection import connect


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    connections = 0

    def get_request(self) -> tuple[socket.socket, str]:
        self.connections += 1
        # A Unix socket has no address, and the handler of requests wants one.
        return self.socket.accept()[0], "client"


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"Id": "%s", "message": "%s"}' % (self.path.encode(), self.path.encode())
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[_Server]:
    """A server that answers as Docker does, and counts its connections."""
    with _Server(str(tmp_path / "docker.sock"), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_calls_share_a_connection(engine: _Server) -> None:
    """Each call has another path. The SDK alone opens a connection for each (25 stay open)."""
    api = connect({"DOCKER_HOST": f"unix://{engine.server_address}"}, version="1.41")
    for number in range(40):
        assert api.inspect_container(f"c{number}")["Id"].endswith(f"/c{number}/json")
    with pytest.raises(Exception, match="missing"):
        api.inspect_container("missing")
    assert api.inspect_image("i")["Id"].endswith("/i/json")
    assert engine.connections == 1
    api.close()
