"""A small web application to deploy: it tells its version, and does as it is told.

/          its version and its host         /slow?ms=300   answers late
/healthz   200, or 500 when it is broken    /fail          answers 500
/echo      gives back what was POSTed
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler
from urllib.parse import parse_qs, urlsplit

VERSION = (Path(__file__).parent / "version.txt").read_text().strip()
HOST = socket.gethostname()
REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}


def answer(method: str, target: str, body: bytes) -> tuple[int, bytes]:
    """The application itself: a status and a body for a request."""
    url = urlsplit(target)
    if url.path == "/":
        return 200, f"sample-app {VERSION} on {HOST}\n".encode()
    if url.path == "/healthz":
        return (500, b"broken\n") if "broken" in VERSION or os.environ.get("HEALTHY") == "false" else (200, b"ok\n")
    if url.path == "/echo" and method == "POST":
        return 200, body
    if url.path == "/slow":
        time.sleep(float(parse_qs(url.query).get("ms", ["300"])[0]) / 1000)
        return 200, b"at last\n"
    return (500, b"as you wish\n") if url.path == "/fail" else (404, b"not here\n")


class Connection(StreamRequestHandler):
    """One client: HTTP/1.1, request after request."""

    disable_nagle_algorithm = True
    timeout = 75
    server: Server

    def handle(self) -> None:
        while not self.server.stopping and self.one_request():
            pass

    def one_request(self) -> bool:
        """Answer one request; False ends the connection."""
        try:
            line = self.rfile.readline(65536).decode("latin-1").split()
            if len(line) != 3:
                return False
            with self.server.busy:
                return self.respond(*line)
        except (OSError, ValueError):
            return False

    def respond(self, method: str, target: str, protocol: str) -> bool:
        """Read the rest of the request, and answer."""
        headers = {}
        while (line := self.rfile.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        status, body = answer(method, target, self.rfile.read(int(headers.get("content-length", 0))))
        goes_on = (
            headers.get("connection", "").lower() != "close" and protocol == "HTTP/1.1" and not self.server.stopping
        )
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\nContent-Type: text/plain\r\n"
            f"X-App-Version: {VERSION}\r\nConnection: {'keep-alive' if goes_on else 'close'}\r\n\r\n"
        )
        self.wfile.write(head.encode() + (b"" if method == "HEAD" else body))
        return goes_on


class Busy:
    """Counts the requests being answered."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count = 0

    def __enter__(self) -> None:
        with self.changed:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.count -= 1
            self.changed.notify_all()

    def wait_for_none(self) -> None:
        """Returns when nothing is being answered any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.count == 0, timeout=30)


class Server(ThreadingHTTPServer):
    """Serves until SIGTERM, then finishes what it has begun."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, port: int) -> None:
        super().__init__(("0.0.0.0", port), Connection)
        self.stopping = False
        self.busy = Busy()

    def stop(self, *_: object) -> None:
        """Take no more connections. Called by SIGTERM."""
        self.stopping = True
        threading.Thread(target=self.shutdown).start()


def main() -> None:
    """Serve on $PORT, 8080 by default."""
    server = Server(int(os.environ.get("PORT", "8080")))
    signal.signal(signal.SIGTERM, server.stop)
    print(f"sample-app {VERSION} listens on {server.server_address[1]}")
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    server.busy.wait_for_none()
    print("sample-app ends")


if __name__ == "__main__":
    main()
