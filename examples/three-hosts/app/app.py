"""A small web application. It answers each GET with its version, and finishes its open requests on SIGTERM.

/slow takes three seconds. /healthz is for the health check.
"""

from __future__ import annotations

import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = (Path(__file__).parent / "version.txt").read_text().strip()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(3)
        body = f"version {VERSION}\n".encode()
        self.send_response(200)
        self.send_header("X-App-Version", VERSION)
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
    with Server(("", 8080), Handler) as server:
        # shutdown waits for serve_forever, which the handler of the signal has interrupted.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
