"""The notice to a replica that begins to drain, so that a WebSocket server can say goodbye to its clients at once."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from datetime import timedelta

from pipeline.base.errors import PenstockError
from pipeline.config.on_drain import OnDrain
from pipeline.engine.interfaces import ExistingContainers
from pipeline.engine.runtime import Replica

_TIMEOUT = timedelta(seconds=10)


class DrainNotice:
    """Sends notices in threads of their own, so that none delays or stops a drain. `warn` gets what went wrong."""

    def __init__(self, containers: ExistingContainers, warn: Callable[[str], None]) -> None:
        self._containers = containers
        self._warn = warn

    def send(self, replica: Replica, wanted: OnDrain) -> threading.Thread:
        """Send the notice of its release to a replica, and return the thread that does it."""
        thread = threading.Thread(target=self._send, args=(replica, wanted), name="drain notice", daemon=True)
        thread.start()
        return thread

    def _send(self, replica: Replica, wanted: OnDrain) -> None:
        try:
            failure = self._failure(replica, wanted)
        except (PenstockError, OSError, http.client.HTTPException) as error:
            failure = str(error)
        if failure:
            self._warn(f"{replica.name}: on_drain failed: {failure}")

    def _failure(self, replica: Replica, wanted: OnDrain) -> str | None:
        """Send the notice and return why it failed, or None."""
        if wanted.http is not None:
            return _post(replica.address, replica.port, wanted.http)
        container = self._containers.find(replica.name)
        if container is None:
            return "its container is gone"
        if wanted.signal is not None:
            self._containers.kill(container.id, wanted.signal)
            return None
        code = self._containers.exec(container.id, wanted.command or (), _TIMEOUT, threading.Event())
        if code is None:
            return f"its command still runs after {_TIMEOUT.total_seconds():g} s"
        return f"its command ended with exit code {code}" if code else None


def _post(address: str, port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT.total_seconds())
    try:
        connection.request("POST", path, headers={"Content-Length": "0"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return f"POST {path} returned {status}" if status >= 400 else None
