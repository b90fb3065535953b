"""A registry on loopback that receives one image from the engine of this machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedRandom
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pipeline.base.sockets import PORTS, free_port
from pipeline.engine.interfaces import RegistryLogin

_LOOPBACK = "127.0.0.1"
_USER = "penstock"
_CHUNK = 256 * 1024
_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-f]+)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/(.+)")
# Seconds between looks at whether the block is left.
_POLL_INTERVAL = 0.02


class PushReceiver:
    """A registry that claims to have every blob, except those in `wanted` until they are uploaded. Use it as a block.

    An engine asks for each blob that it knows the digest of, and uploads the others. What it uploads is kept in
    temporary files in `folder`, which no other process sees. The port follows from `name`, if that is free: an engine
    remembers the digests of small layers by registry and repository.
    """

    def __init__(self, folder: Path, name: str, wanted: Iterable[str]) -> None:
        self.login = RegistryLogin(_USER, secrets.token_hex(16))
        self.blobs: dict[str, BufferedRandom] = {}
        """The uploaded blobs, by digest."""
        self.manifest: bytes | None = None
        """The manifest of the image, once it is pushed."""
        self._folder = folder
        self.wanted = set(wanted)
        """The blobs that the engine is told are missing, until it has uploaded them."""
        self._uploads: dict[str, BufferedRandom] = {}
        self._server = _listen(name)
        self._server.receiver = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_INTERVAL,), name="push-receiver", daemon=True
        )

    @property
    def address(self) -> str:
        """The address of the registry, with which the image's name begins."""
        return f"{_LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for file in (*self._uploads.values(), *self.blobs.values()):
            file.close()

    def allows(self, header: str) -> bool:
        """Return whether the value of `Authorization` has the login of this receiver."""
        scheme, _, encoded = header.partition(" ")
        with suppress(binascii.Error):
            given = base64.b64decode(encoded, validate=True)
            return scheme == "Basic" and secrets.compare_digest(given, ":".join(self.login).encode())
        return False

    def claims(self, digest: str) -> bool:
        """Return whether the engine is told that the blob is there."""
        return digest in self.blobs or digest not in self.wanted

    def begin(self) -> str:
        """Begin an upload and return its id."""
        upload = secrets.token_hex(8)
        self._uploads[upload] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed on leaving the block
        return upload

    def append(self, upload: str, chunks: Iterator[bytes]) -> int | None:
        """Add to an upload and return its size, or None if it is not known."""
        file = self._uploads.get(upload)
        for chunk in chunks:
            if file is not None:
                file.write(chunk)
        return None if file is None else file.tell()

    def complete(self, upload: str, digest: str) -> bool:
        """End an upload. Returns False if it does not have this digest."""
        file = self._uploads.pop(upload)
        file.seek(0)
        if digest != f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}":
            file.close()
            return False
        file.seek(0)
        self.blobs[digest] = file
        return True


class _Server(ThreadingHTTPServer):
    """The server. The connections that the engine keeps open are closed with it."""

    daemon_threads = True
    receiver: PushReceiver

    def __init__(self, port: int) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__((_LOOPBACK, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Print nothing: the engine reports what it could not send."""


def _listen(name: str) -> _Server:
    preferred = PORTS[int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(PORTS)]
    try:
        return _Server(preferred)
    except OSError:
        # Another process uses it, or another transfer of the pipeline.
        return _Server(free_port())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _receiver(self) -> PushReceiver:
        found: PushReceiver = self.server.receiver  # type: ignore[attr-defined]
        return found

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def handle_request(self) -> None:
        """Respond to a request of any method."""
        if not self._receiver.allows(self.headers.get("Authorization", "")):
            self._respond(401, {"WWW-Authenticate": 'Basic realm="penstock"'})
            return
        url = urlsplit(self.path)
        for method, pattern, act in self._actions():
            if method == self.command and (match := pattern.fullmatch(url.path)):
                act(match, url.query)
                return
        self._respond(200 if url.path == "/v2/" else 404)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = handle_request  # noqa: N815  # the names of the base class

    def _actions(self) -> tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str], str], None]], ...]:
        return (
            ("HEAD", _BLOB, self._head),
            ("POST", _UPLOADS, self._begin),
            ("PATCH", _UPLOAD, self._append),
            ("PUT", _UPLOAD, self._complete),
            ("PUT", _MANIFEST, self._keep_manifest),
        )

    def _head(self, match: re.Match[str], _: str) -> None:
        digest = match[2]
        self._respond(*((200, {"Docker-Content-Digest": digest}) if self._receiver.claims(digest) else (404,)))

    def _begin(self, match: re.Match[str], query: str) -> None:
        # The engine offers to copy a blob from another repository.
        mounted = parse_qs(query).get("mount", [""])[0]
        if mounted and self._receiver.claims(mounted):
            self._respond(201, {"Location": f"/v2/{match[1]}/blobs/{mounted}", "Docker-Content-Digest": mounted})
            return
        location = f"/v2/{match[1]}/blobs/uploads/{self._receiver.begin()}"
        self._respond(202, {"Location": location, "Range": "0-0"})

    def _append(self, match: re.Match[str], _: str) -> None:
        size = self._receiver.append(match[2], self._body())
        if size is None:
            self._respond(404)
            return
        self._respond(202, {"Location": urlsplit(self.path).path, "Range": f"0-{max(size - 1, 0)}"})

    def _complete(self, match: re.Match[str], query: str) -> None:
        digest = parse_qs(query).get("digest", [""])[0]
        is_known = self._receiver.append(match[2], self._body()) is not None
        if not is_known or not self._receiver.complete(match[2], digest):
            self._respond(400)
            return
        self._respond(201, {"Location": f"/v2/{match[1]}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _keep_manifest(self, match: re.Match[str], _: str) -> None:
        content = b"".join(self._body())
        self._receiver.manifest = content
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._respond(201, {"Location": f"/v2/{match[1]}/manifests/{digest}", "Docker-Content-Digest": digest})

    def _body(self) -> Iterator[bytes]:
        """Yield the body of the request, whose length may not be known."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield from self._parts(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(32).split(b";")[0], 16):
            yield from self._parts(size)
            self.rfile.readline(32)
        self.rfile.readline(32)

    def _parts(self, left: int) -> Iterator[bytes]:
        while left and (chunk := self.rfile.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk

    def _respond(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Docker-Distribution-API-Version": "registry/2.0", **(headers or {})}.items():
            self.send_header(name, value)
        if status >= 400 and self.command != "HEAD":
            # The rest of its body would be taken for the next request.
            self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()
