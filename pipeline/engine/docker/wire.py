"""Requests to Docker's API over a connection of one's own, for consoles and logs.

Docker's SDK takes longer to import than a command in a container takes to start, and it reads logs line by line.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.endpoint import Endpoint, find_endpoint
from pipeline.engine.docker.faults import TIMEOUT, unreachable

if TYPE_CHECKING:
    import ssl

_MAX_HEAD = 64 * 1024
_PORTS = {"http": 2375, "tcp": 2375, "https": 2376}
_CHUNK = 256 * 1024


class Refusal(Exception):
    """The engine's error response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Opened(NamedTuple):
    """A connection whose response has begun. `rest` is what was read of its content already."""

    connection: socket.socket
    rest: bytes


class Wire:
    """The engine that `environment` names. Safe to use from any thread: each request has a connection of its own.

    Requests raise `Refusal` for an error response, and `EngineFault` if the engine does not respond within `timeout`
    seconds.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ, timeout: float = TIMEOUT) -> None:
        self._endpoint = find_endpoint(environment)
        self._timeout = timeout

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Send a request and return the JSON of the response, None if it has none."""
        opened = self.open(method, path, body, **query)
        with opened.connection:
            parts = [opened.rest]
            try:
                while part := opened.connection.recv(_CHUNK):
                    parts.append(part)
            except OSError as error:
                raise self._fault(error, method, path) from error
        content = b"".join(parts)
        return json.loads(content) if content.strip() else None

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        upgrade: bool = False,
        endless: bool = False,
        **query: Any,
    ) -> Opened:
        """Send a request and return its connection, from which the content of the response is read until its end.

        With `upgrade`, the connection carries the input and the output of a process. With `endless`, the content may
        take any time, and the response must still begin in time.
        """
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        content = b"" if body is None else json.dumps(body).encode()
        # A response of HTTP/1.0 has no chunks. Only 1.1 has upgrades.
        head = [f"{method} {target} HTTP/1.{1 if upgrade else 0}", "Host: docker", f"Content-Length: {len(content)}"]
        head += ["Content-Type: application/json"] if content else []
        head += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else []
        connection = None
        try:
            connection = self._dial()
            connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
            opened = Opened(connection, _response(connection))
            if endless:
                connection.settimeout(None)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError | ValueError):
                raise self._fault(error, method, path) from error
            raise
        return opened

    def _fault(self, error: Exception, method: str, path: str) -> EngineFault:
        return unreachable(error, self._endpoint.address, f"{method} {path}", self._timeout)

    def _dial(self) -> socket.socket:
        """Return a new connection. Raises `OSError`."""
        address = urlsplit(self._endpoint.address)
        if address.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._timeout)
                connection.connect(address.path or f"/{address.netloc}")
            except BaseException:
                connection.close()
                raise
            return connection
        if address.scheme == "ssh":
            return _over_ssh(address.netloc, self._timeout)
        if address.scheme not in _PORTS:
            raise EngineFault(f"Docker's address {self._endpoint.address} has an unknown scheme")
        host, tls = address.hostname or "localhost", _tls(self._endpoint, address.scheme)
        port = address.port or _PORTS["https" if tls else "tcp"]
        connection = socket.create_connection((host, port), self._timeout)
        return tls.wrap_socket(connection, server_hostname=host) if tls else connection


def end_input(connection: socket.socket) -> None:
    """Tell the process at the other end that its input has ended."""
    # A connection with TLS cannot be closed in one direction.
    with suppress(OSError, NotImplementedError):
        connection.shutdown(socket.SHUT_WR)


def _response(connection: socket.socket) -> bytes:
    """Read the head of a response and return what was read after it. Raises `Refusal`, `OSError` and `ValueError`."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = connection.recv(4096)
        if not part or len(found) > _MAX_HEAD:
            raise ValueError("the response is cut off")
        found += part
    head, _, rest = found.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status < 400:
        return rest
    while part := connection.recv(4096):
        rest += part
        if _is_complete(head, rest):
            break
    raise Refusal(status, _message(rest))


def _is_complete(head: bytes, content: bytes) -> bool:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(content) >= int(value)
    return False


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip()


def _over_ssh(host: str, timeout: float) -> socket.socket:
    """Return a connection through the docker command of another machine, as Docker's own command makes it."""
    near, far = socket.socketpair()
    near.settimeout(timeout)
    with far:
        subprocess.Popen(["ssh", "--", host, "docker system dial-stdio"], stdin=far.fileno(), stdout=far.fileno())
    return near


def _tls(endpoint: Endpoint, scheme: str) -> ssl.SSLContext | None:
    """Return the TLS settings of an endpoint, or None if it uses none."""
    folder, verify = endpoint.tls, endpoint.verify
    if path := endpoint.environment.get("DOCKER_CERT_PATH"):
        folder = Path(path)
    if "DOCKER_TLS_VERIFY" in endpoint.environment:
        verify = bool(endpoint.environment["DOCKER_TLS_VERIFY"])
    is_used = scheme == "https" or endpoint.tls is not None or bool(endpoint.environment.get("DOCKER_TLS_VERIFY"))
    if not is_used:
        return None
    import ssl

    authority = folder / "ca.pem" if folder else None
    context = ssl.create_default_context(cafile=str(authority) if authority and authority.exists() else None)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if folder and (folder / "cert.pem").exists():
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
