"""An engine that pushes an image as Docker does, over a real connection."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from pipeline.base.errors import EngineFault
from pipeline.engine.interfaces import RegistryLogin
from pipeline.testing.fakes.engine import FakeConnection
from pipeline.testing.fakes.faults import Faults


class PushingImages:
    """One image with these layers. `known`: the layers that were pushed to any registry, or pulled.

    `requests` are those of all pushes, `uploaded` the layers of each push.
    """

    def __init__(self, layers: Sequence[bytes], known: Sequence[bytes] = ()) -> None:
        self.contents = tuple(layers)
        self.known = set(known)
        self.config = json.dumps({"rootfs": {"diff_ids": [*map(digest_of, layers)]}}).encode()
        self.image = digest_of(self.config)
        self.tags = ["penstock/home/shop:1"]
        self.names: list[str] = []
        self.requests: list[str] = []
        self.uploaded: list[tuple[bytes, ...]] = []
        self.sent_manifest: Any = None
        """What is pushed instead of the manifest."""
        self.refuses = ""
        """The error of a push that does not reach the registry."""
        self.login: RegistryLogin | None = None
        """The login that is sent instead of the given one."""

    def over(self, _: Faults) -> PushingImages:
        """Return the same images."""
        return self

    def layers(self, _: str) -> tuple[str, ...]:
        """Return the digests of the layers."""
        return tuple(map(digest_of, self.contents))

    def has_name(self, _: str) -> bool:
        """Return whether it has a tag."""
        return bool(self.tags)

    def tag(self, _: str, tag: str) -> None:
        """Add a tag."""
        self.tags.append(tag)
        self.names.append(tag)

    def untag(self, tag: str) -> None:
        """Remove a tag."""
        self.tags.remove(tag)

    def save(self, _: str) -> Iterator[bytes]:
        """Yield an archive that no tar is."""
        yield b"saved"

    def push(self, reference: str, login: RegistryLogin | None = None) -> str:
        """Push the image, and return the digest of its manifest."""
        assert reference in self.tags
        if self.refuses:
            raise EngineFault(self.refuses)
        address, _, path = reference.partition("/")
        with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
            push = _Push(connection, path.rpartition(":")[0], self.login or login, self.requests)
            push.ping()
            self.uploaded.append(tuple(layer for layer in dict.fromkeys(self.contents) if self._layer(push, layer)))
            if push.status("HEAD", f"blobs/{self.image}") == 404:
                push.upload(self.config)
            return push.manifest(self.sent_manifest or self._manifest())

    def _layer(self, push: _Push, layer: bytes) -> bool:
        blob = gzip.compress(layer, mtime=0)
        if layer in self.known and push.status("HEAD", f"blobs/{digest_of(blob)}") == 200:
            return False
        push.upload(blob)
        self.known.add(layer)
        return True

    def _manifest(self) -> dict[str, Any]:
        blobs = [{"digest": digest_of(gzip.compress(layer, mtime=0))} for layer in self.contents]
        return {"schemaVersion": 2, "config": {"digest": self.image}, "layers": blobs}


class PushingEngine:
    """An engine with these images."""

    is_on_this_machine = True

    def __init__(self, images: PushingImages) -> None:
        self.images = images

    def cancellable(self) -> Any:
        """Return a separate connection."""
        return closing(FakeConnection(self.images, Faults()))  # type: ignore[arg-type]


class _Push:
    """The requests of one push."""

    def __init__(
        self, connection: http.client.HTTPConnection, repository: str, login: RegistryLogin | None, requests: list[str]
    ) -> None:
        self._connection = connection
        self._repository = repository
        self._requests = requests
        self._headers: dict[str, str] = {}
        self._login = login

    def ping(self) -> None:
        """Find out that the registry wants the login, and use it."""
        assert self._send("GET", "/v2/", b"", {}).status == 401
        assert self._login is not None
        word = base64.b64encode(":".join(self._login).encode()).decode()
        self._headers = {"Authorization": f"Basic {word}"}
        if self._send("GET", "/v2/", b"", {}).status != 200:
            raise EngineFault("unauthorized: authentication required")

    def status(self, method: str, path: str) -> int:
        """Send a request and return its status."""
        return self._send(method, f"/v2/{self._repository}/{path}", b"", {}).status

    def upload(self, blob: bytes) -> None:
        """Upload a blob in chunks of unknown number."""
        begun = self._send("POST", f"/v2/{self._repository}/blobs/uploads/", b"", {})
        assert begun.status == 202
        place = urlsplit(begun.headers["Location"]).path
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(blob), blob)
        assert self._send("PATCH", place, body, {"Transfer-Encoding": "chunked"}).status == 202
        digest = digest_of(blob)
        assert self._send("PUT", f"{place}?digest={digest}", b"", {}).status == 201
        assert self.status("HEAD", f"blobs/{digest}") == 200

    def manifest(self, content: Any) -> str:
        """Put the manifest."""
        body = json.dumps(content).encode()
        response = self._send("PUT", f"/v2/{self._repository}/manifests/1", body, {})
        assert response.status == 201
        return str(response.headers["Docker-Content-Digest"])

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._requests.append(f"{method} {path}")
        self._connection.putrequest(method, path)
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
        for name, value in {**self._headers, **headers, **length}.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body)
        response = self._connection.getresponse()
        response.read()
        return response


def digest_of(content: bytes) -> str:
    """Return a digest in the form of registries."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
