"""A registry of images on loopback, which Docker uses without TLS. It keeps what is pushed in a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# In bytes. The base image of the tests has a tenth of it.
_MAX_BYTES = 2 * 2**30
_CHUNK = 2**20
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-f]+)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([A-Za-z0-9_.:-]+)")


@dataclass
class Registry:
    """A running registry. `requests` are those that were authorized, as `GET /v2/…`.

    `fail` has a status for each of the next pushes of a manifest.
    """

    folder: Path
    address: str
    user: str = ""
    password: str = ""
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)
    received: int = 0

    def config(self, folder: Path, password: str | None = None) -> Path:
        """Write the configuration of a docker command that is logged in, and return its folder."""
        folder.mkdir(exist_ok=True)
        word = self.password if password is None else password
        auth = base64.b64encode(f"{self.user}:{word}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": auth}}}))
        return folder

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest of a tag, or None."""
        found = self.manifests.get((name, tag))
        return digest_of(found[1]) if found else None

    def allows(self, header: str | None) -> bool:
        """Return whether the header `Authorization` has the right user and password."""
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.user or header == f"Basic {wanted}"


def digest_of(content: bytes) -> str:
    """Return the digest of a manifest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def registry(folder: Path, user: str = "", password: str = "") -> Iterator[Registry]:
    """Yield a registry. With a user, each request needs the password."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    kept = Registry(folder, f"127.0.0.1:{server.server_address[1]}", user, password)
    server.registry = kept  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _registry(self) -> Registry:
        found: Registry = self.server.registry  # type: ignore[attr-defined]
        return found

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def handle_request(self) -> None:
        """Respond to a request of any method."""
        url = urlsplit(self.path)
        if not self._registry.allows(self.headers.get("Authorization")):
            self._drop()
            self._error(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": 'Basic realm="test"'})
            return
        self._registry.requests.append(f"{self.command} {self.path}")
        for pattern, act in (
            (_UPLOADS, self._begin),
            (_UPLOAD, self._upload),
            (_BLOB, self._blob),
            (_MANIFEST, self._manifest),
        ):
            if match := pattern.fullmatch(url.path):
                act(match, url.query)
                return
        self._drop()
        self._respond(200 if url.path == "/v2/" else 404)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = handle_request  # noqa: N815  # the names of the base class

    def _begin(self, match: re.Match[str], _: str) -> None:
        self._drop()
        self._respond(202, Location=f"/v2/{match[1]}/blobs/uploads/{secrets.token_hex(8)}", Range="0-0")

    def _upload(self, match: re.Match[str], query: str) -> None:
        path = self._registry.folder / match[2]
        with path.open("ab") as file:
            for chunk in self._body():
                self._registry.received += len(chunk)
                if self._registry.received > _MAX_BYTES:
                    self.close_connection = True
                    self._error(507, "TOOBIG", "the registry is full")
                    return
                file.write(chunk)
        if self.command == "PATCH":
            self._respond(202, Location=urlsplit(self.path).path, Range=f"0-{path.stat().st_size - 1}")
            return
        digest = parse_qs(query).get("digest", [""])[0]
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != f"sha256:{found}":
            self._error(400, "DIGEST_INVALID", f"got sha256:{found}")
            return
        path.rename(self._registry.folder / found)
        self._respond(201, Location=f"/v2/{match[1]}/blobs/{digest}", **{"Docker-Content-Digest": digest})

    def _blob(self, match: re.Match[str], _: str) -> None:
        path = self._registry.folder / match[2].removeprefix("sha256:")
        if not path.is_file():
            self._error(404, "BLOB_UNKNOWN", "blob unknown")
            return
        self._respond(
            200, path.read_bytes(), **{"Content-Type": "application/octet-stream", "Docker-Content-Digest": match[2]}
        )

    def _manifest(self, match: re.Match[str], _: str) -> None:
        name, reference = match[1], match[2]
        if self.command == "PUT":
            content = b"".join(self._body())
            if self._registry.fail:
                self._error(self._registry.fail.pop(0), "UNAVAILABLE", "try again later")
                return
            kind, digest = self.headers["Content-Type"], digest_of(content)
            self._registry.manifests |= {(name, key): (kind, content) for key in (reference, digest)}
            self._respond(201, **{"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"})
            return
        found = self._registry.manifests.get((name, reference))
        if found is None:
            self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        self._respond(200, found[1], **{"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])})

    def _body(self) -> Iterator[bytes]:
        """Yield the body of the request, whose length may not be known."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (chunk := self.rfile.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk

    def _drop(self) -> None:
        for _ in self._body():
            pass

    def _error(self, status: int, code: str, message: str, **headers: str) -> None:
        # Without a detail, Docker tries a refused push again for 50 s.
        body = json.dumps({"errors": [{"code": code, "message": message, "detail": self.path}]}).encode()
        self._respond(status, body, **{"Content-Type": "application/json", **headers})

    def _respond(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Docker-Distribution-API-Version": "registry/2.0", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
