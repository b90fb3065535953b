"""A UDP service that answers each datagram with its version, the client's address and the datagram.

It also accepts connections of TCP on its port and closes them, because health checks connect.
"""

from __future__ import annotations

import signal
import socketserver
import sys
import threading
from pathlib import Path

VERSION = (Path(__file__).parent / "version.txt").read_text().strip()
PORT = 5000


class Datagram(socketserver.BaseRequestHandler):
    """One datagram."""

    def handle(self) -> None:
        data, socket = self.request
        socket.sendto(f"{VERSION} {self.client_address[0]} ".encode() + data, self.client_address)


class Check(socketserver.BaseRequestHandler):
    """One connection of a health check."""


def main() -> None:
    """Serve until SIGTERM. Penstock sends it when no flow is left, or after the deregistration delay."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("", PORT), Check) as checks, socketserver.UDPServer(("", PORT), Datagram) as server:
        threading.Thread(target=checks.serve_forever, daemon=True).start()
        server.serve_forever()


if __name__ == "__main__":
    main()
