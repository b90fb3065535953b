"""The client of the control API, which commands use if a daemon runs."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pipeline import __version__
from pipeline.base.errors import ConfigError, PenstockError, SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import holder
from pipeline.base.sockets import short_path
from pipeline.config.name_line import name_in_lines
from pipeline.events import Event

_TIMEOUT = 30.0
# Older daemons cannot read the releases and the registry that this version writes.
_OLDEST_DAEMON = (0, 2)


class Client:
    """A client of the daemon of one home, over its socket.

    An error response is raised as `ConfigError` or `SystemFault`. So is a daemon that does not respond within
    `timeout` seconds. `pipeline` is the one for which the daemon was found.

    It uses no models, so a command that leaves its work to the daemon starts quickly.
    """

    def __init__(self, path: Path, pipeline: str = "", timeout: float = _TIMEOUT) -> None:
        self._path = path
        self.pipeline = pipeline
        self._timeout = timeout

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the JSON of the response, or None if it is empty."""
        try:
            status, content = self._exchange(method, path, json.dumps(body).encode() if body is not None else b"")
            found = json.loads(content) if content and status < 400 else None
        except (OSError, ValueError) as error:
            raise SystemFault(f"the daemon at {self._path} does not respond: {error}") from error
        if status >= 400:
            raise _error_of(status, content)
        return found

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request of HTTP/1.0, and return the status and the content of the response.

        `http.client` takes longer to import than everything else that `pipeline status` needs to ask the daemon. The
        only server is our own. Raises `OSError` and `ValueError`.
        """
        with _connected(self._path, self._timeout) as connection:
            connection.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            with connection.makefile("rb") as stream:
                head, end, content = stream.read().partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not end or len(content) != int(headers.get("content-length", len(content))):
            raise ValueError("the response is cut off")
        version, status, *_ = [*first.split(" "), ""]
        if not version.startswith("HTTP/"):
            raise ValueError("the response is not of HTTP")
        return int(status), content

    def events(self, pipeline: str, run: int, after: int = 0) -> Iterator[Event]:
        """Yield a run's events until the run has finished."""
        import http.client

        while True:
            connection = http.client.HTTPConnection("penstock", timeout=self._timeout)
            try:
                connection.sock = _connected(self._path, self._timeout)
                connection.request("GET", f"/v1/pipelines/{pipeline}/runs/{run}/events?after={after}")
                with connection.getresponse() as response:
                    for line in response:
                        if line.startswith(b"data: "):
                            found = json.loads(line[6:])
                            after = found["id"]
                            yield _event(found)
            except (OSError, http.client.HTTPException) as error:
                raise SystemFault(
                    f"lost the connection to the daemon: {error}",
                    hint=f"run {run} continues when the daemon is back; follow it with `pipeline events {run}`",
                ) from error
            finally:
                connection.close()
            if self.ask("GET", f"/v1/pipelines/{pipeline}/runs/{run}")["state"] not in ("queued", "running"):
                return


def _connected(path: Path, timeout: float) -> socket.socket:
    """Return a connection to the socket at `path`. Raises `OSError`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with short_path(path.parent, path.name) as short:
            connection.connect(short)
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True)
class Daemon:
    """The daemon of a home, as it describes itself. `files` has the pipeline.yaml of each pipeline."""

    socket: Path
    pipelines: Collection[str]
    files: Mapping[str, str]
    version: str
    timeout: float = _TIMEOUT

    @classmethod
    def find(cls, home: Home, timeout: float = _TIMEOUT) -> Self | None:
        """Return the daemon, or None if there is none or it does not respond within `timeout` seconds.

        Raises `SystemFault` if the daemon is stopped by a signal, and if it is of a version that cannot read what this
        one writes. A command that acts must then stop, even if this daemon does not manage its pipeline: all pipelines
        of a home share the balancer's registry.
        """
        if not home.daemon_socket.exists():
            return None
        process = holder(home.daemon_lock)
        if process is not None and process.stopped:
            raise SystemFault(f"the daemon (pid {process.pid}) {process.state}", hint=process.remedy)
        try:
            about = Client(home.daemon_socket, timeout=timeout).ask("GET", "/v1")
        except SystemFault:
            return None
        _check_version(home, about)
        return cls(home.daemon_socket, about["pipelines"], about["files"], about["version"], timeout)

    def client(self, pipeline: str | None) -> Client | None:
        """Return a client for a pipeline, or None if the daemon does not manage it."""
        return Client(self.socket, pipeline, self.timeout) if pipeline and pipeline in self.pipelines else None

    def client_of(self, file: Path) -> Client | None:
        """Return a client for the pipeline of a file, without parsing the file.

        None if the daemon does not manage the file, or if the pipeline's name in it may have changed. Then the caller
        parses it.
        """
        path = str(file.resolve())
        name = next((name for name, place in self.files.items() if place == path), None)
        return self.client(name) if name and _names(file, name) else None


def _event(data: Mapping[str, Any]) -> Event:
    at = datetime.fromisoformat(data["at"])
    return Event(data["kind"], data["message"], data["pipeline"], data["run"], data["fields"], at)


def _names(file: Path, name: str) -> bool:
    """Return whether a file certainly names this pipeline. False if that takes more than a look at its lines."""
    try:
        text = file.read_bytes()
    except OSError:
        return False
    return name_in_lines(text) == name


def _check_version(home: Home, about: Mapping[str, Any]) -> None:
    version = about.get("version")
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    # A daemon of an earlier state of 0.2 does not name its files.
    if numbers and tuple(map(int, numbers.groups())) >= _OLDEST_DAEMON and "files" in about:
        return
    found = holder(home.daemon_lock)
    process = f" (pid {found.pid})" if found else ""
    raise SystemFault(
        f"the daemon{process} is of version {version or 'unknown'} and cannot read what version {__version__} writes",
        hint="restart the daemon: `systemctl restart penstock`, or stop it and start `pipeline serve` again",
    )


def _error_of(status: int, content: bytes) -> PenstockError:
    kind = SystemFault if status >= 500 else ConfigError
    try:
        data = json.loads(content)
    except ValueError:
        data = None
    if not isinstance(data, dict) or "error" not in data:
        return SystemFault(f"the daemon responded with status {status}", hint="see the daemon's log")
    return kind(data["error"], hint=data.get("hint"))
