"""A server that publishes JSON Web Keys over HTTPS."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

JWK = json.loads(RSAAlgorithm.to_jwk(generate_private_key(65537, 2048).public_key()))


def key_set(*ids: str) -> bytes:
    """Return a JSON Web Key Set with one key for each id."""
    return json.dumps({"keys": [{**JWK, "kid": kid} for kid in ids]}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.on_request()
        self.send_response(301 if self.path in self.server.redirects else self.server.status)
        if self.path in self.server.redirects:
            self.send_header("Location", self.server.redirects[self.path])
        self.end_headers()
        self.wfile.write(self.server.content)
        while self.server.trickles and not self.server.done.wait(0.02):
            self.wfile.write(b" ")

    def log_message(self, *args: object) -> None: ...


class Issuer(ThreadingHTTPServer):
    """Answers with `content`. With `trickles` the response continues with spaces and never ends."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = key_set("one")
        self.status = 200
        self.redirects: dict[str, str] = {}
        self.trickles = False
        self.asked = 0
        self.done = threading.Event()
        authority = trustme.CA()
        self.authorities = directory / "authorities.pem"
        authority.cert_pem.write_to_path(self.authorities)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def on_request(self) -> None:
        """Do nothing. Tests replace this to act during a request."""

    def url(self, path: str = "/keys") -> str:
        """Return the URL of a path."""
        return f"https://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *args: object) -> None: ...

    def end(self) -> None:
        self.done.set()
        self.shutdown()
        self.server_close()
