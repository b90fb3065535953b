"""A TCP service that answers each line with its version and the line, until the client closes the connection."""

from __future__ import annotations

import signal
import socketserver
import sys
from pathlib import Path

VERSION = (Path(__file__).parent / "version.txt").read_text().strip()
PORT = 5000


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(f"{VERSION} ".encode() + line)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Serve until SIGTERM. Penstock sends it when no client is connected, or after the deregistration delay."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("", PORT), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
