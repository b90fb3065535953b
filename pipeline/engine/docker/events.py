"""The event stream of the Docker Engine, limited to the replicas of one home."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.wire import Refusal, Wire
from pipeline.engine.interfaces import ReplicaChange
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_APP

# Exec events would come with each check of any container. `health_status` comes only when the health changes. A replica
# whose network changes fails its health check, which the data plane reports.
_CHANGES = ["start", "die", "destroy", "pause", "unpause", "rename", "health_status"]
_TIMEOUT = 10
_CHUNK = 64 * 1024


class DockerEvents:
    """The events of the engine that `environment` names. See `EngineEvents`.

    The engine may take `timeout` seconds to begin the stream, and for the response to a ping.
    """

    def __init__(self, home: str, environment: Mapping[str, str], timeout: float = _TIMEOUT) -> None:
        labels = [f"{LABEL_HOME}={home}", f"{LABEL_ROLE}={ROLE_APP}"]
        self._filters = {"type": ["container"], "event": _CHANGES, "label": labels}
        self._environment = environment
        self._timeout = timeout
        self._lock = threading.Lock()
        self._stream: socket.socket | None = None

    def follow(self) -> Iterator[ReplicaChange | None]:
        """Yield each change."""
        try:
            wire = Wire(self._environment, self._timeout)
            stream, begun = wire.open("GET", "/events", endless=True, filters=json.dumps(self._filters))
        except Refusal as refusal:
            raise EngineFault(f"Docker: {refusal.message}") from refusal
        with stream:
            with self._lock:
                self._stream = stream
            try:
                yield None
                for line in _lines(stream, begun):
                    if change := _change(json.loads(line)):
                        yield change
            finally:
                with self._lock:
                    self._stream = None

    def answers(self) -> bool:
        """Ping the engine while it is followed."""
        if self._stream is None:
            return False
        try:
            return bool(Wire(self._environment, self._timeout).ask("GET", "/version"))
        except (EngineFault, Refusal):
            return False

    def interrupt(self) -> None:
        """Shut the connection of `follow` down. One that is being made fails within `timeout` seconds."""
        with self._lock:
            if self._stream is not None:
                # The engine may have closed it.
                with suppress(OSError):
                    self._stream.shutdown(socket.SHUT_RDWR)


def _lines(stream: socket.socket, begun: bytes) -> Iterator[bytes]:
    """Yield each whole line until the end of a stream, whose first bytes were read already."""
    while True:
        *lines, begun = begun.split(b"\n")
        yield from (line for line in lines if line.strip())
        try:
            part = stream.recv(_CHUNK)
        except OSError as error:
            raise EngineFault(f"lost the events of Docker: {error}") from error
        if not part:
            return
        begun += part


def _change(event: Mapping[str, Any]) -> ReplicaChange | None:
    attributes = event["Actor"]["Attributes"]
    pipeline = attributes.get(LABEL_PIPELINE)
    if not pipeline:
        return None
    # A container has this attribute only in the event of its exit.
    code = attributes.get("exitCode", "")
    return ReplicaChange(pipeline, attributes["name"], int(code) if code else None)
