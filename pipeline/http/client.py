"""The client of the control API, which commands use if a daemon runs."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.base.errors import ConfigError, PenstockError, SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import holder
from pipeline.base.sockets import short_path
from pipeline.events import Event
from pipeline.http.responses import EventResponse

_TIMEOUT = 30.0
# Older daemons cannot read the releases and the registry that this version writes.
_OLDEST_DAEMON = (0, 2)


class Client:
    """A client of the daemon of one home, over its socket.

    An error response is raised as `ConfigError` or `SystemFault`. So is a daemon that does not respond.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def find(cls, home: Home, pipeline: str | None) -> Client | None:
        """Return a client of the daemon that manages a pipeline, or None.

        Raises `SystemFault` if the daemon is stopped by a signal, and if it is of a version that cannot read what this
        one writes. The command must then stop, even if this daemon does not manage its pipeline: all pipelines of a
        home share the balancer's registry.
        """
        if not home.daemon_socket.exists():
            return None
        process = holder(home.daemon_lock)
        if process is not None and process.stopped:
            raise SystemFault(f"the daemon (pid {process.pid}) {process.state}", hint=process.remedy)
        client = cls(home.daemon_socket)
        try:
            daemon = client.ask("GET", "/v1")
        except SystemFault:
            return None
        _check_version(home, daemon.get("version"))
        return client if pipeline in daemon["pipelines"] else None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the JSON of the response, or None if it is empty."""
        connection = _Connection(self._path)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise SystemFault(f"the daemon at {self._path} does not respond: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _error_of(answer.status, content)
        return json.loads(content) if content else None

    def events(self, pipeline: str, run: int, after: int = 0) -> Iterator[Event]:
        """Yield a run's events until the run has finished."""
        while True:
            connection = _Connection(self._path)
            try:
                connection.request("GET", f"/v1/pipelines/{pipeline}/runs/{run}/events?after={after}")
                with connection.getresponse() as response:
                    for line in response:
                        if line.startswith(b"data: "):
                            found = EventResponse.model_validate_json(line[6:])
                            after = found.id
                            yield found.to_event()
            except (OSError, http.client.HTTPException) as error:
                raise SystemFault(
                    f"lost the connection to the daemon: {error}",
                    hint=f"run {run} continues when the daemon is back; follow it with `pipeline events {run}`",
                ) from error
            finally:
                connection.close()
            if self.ask("GET", f"/v1/pipelines/{pipeline}/runs/{run}")["state"] not in ("queued", "running"):
                return


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("penstock", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._path.parent, self._path.name) as short:
            self.sock.connect(short)


def _check_version(home: Home, version: str | None) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if numbers and tuple(map(int, numbers.groups())) >= _OLDEST_DAEMON:
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
