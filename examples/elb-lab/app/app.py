"""The server behind the load balancers. It answers each GET with what it has seen of the request, as JSON.

$SERVICE and $NAME are the names in its answers, $ADDRESS and $PORT say where it listens.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVICE = os.environ.get("SERVICE", "web")
NAME = os.environ.get("NAME") or socket.gethostname()

# The first 12 bytes of a header of the PROXY protocol, version 2.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# The command PROXY, and the family TCP over IPv4. The load balancer's health checks have the command LOCAL.
PROXIED, TCP4 = 0x21, 0x11


class Handler(BaseHTTPRequestHandler):
    """One connection, with one request."""

    def setup(self) -> None:
        super().setup()
        self.proxied_client = None
        # No request begins with a carriage return.
        if self.rfile.peek(1)[:1] == SIGNATURE[:1]:
            self.proxied_client = self._read_proxy_header()

    def _read_proxy_header(self) -> str | None:
        """Return the client's address that the header has, or None for a health check."""
        signature, command, family, length = struct.unpack("!12sBBH", self.rfile.read(16))
        addresses = self.rfile.read(length)
        if (signature, command, family) != (SIGNATURE, PROXIED, TCP4):
            return None
        return socket.inet_ntoa(addresses[:4])

    def do_GET(self) -> None:
        seen = {
            "service": SERVICE,
            "target": NAME,
            "path": self.path,
            "user_agent": self.headers.get("User-Agent"),
            "packet_source": self.client_address[0],
            "x_forwarded_for": self.headers.get("X-Forwarded-For"),
            "proxy_protocol": self.proxied_client,
        }
        body = json.dumps(seen, indent=2).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing: the load balancer has an access log."""


class Server(ThreadingHTTPServer):
    """Finishes the open requests when it is closed."""

    daemon_threads = False
    request_queue_size = 1024


def main() -> None:
    """Serve until SIGTERM."""
    place = (os.environ.get("ADDRESS", ""), int(os.environ.get("PORT", "8080")))
    with Server(place, Handler) as server:
        # shutdown waits for serve_forever, which the handler of the signal has interrupted.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
