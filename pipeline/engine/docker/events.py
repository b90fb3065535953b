"""The event stream of the Docker Engine, limited to the replicas of one home."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.connection import connect
from pipeline.engine.docker.faults import translate_errors
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, network_prefix

# Docker cannot filter by a label of the container and include the events of networks, which have none.
_FILTERS = {
    "type": ["container", "network"],
    "event": ["start", "die", "destroy", "pause", "unpause", "rename", "update", "connect", "disconnect"],
}
_PING_TIMEOUT = 10


class DockerEvents:
    """The events of the engine that `environment` names. See `EngineEvents`."""

    def __init__(self, home: str, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._lock = threading.Lock()
        self._stream: Any = None
        self._pinger: Any = None

    def follow(self) -> Iterator[str | None]:
        """Yield the pipeline of each change."""
        api = connect(self._environment)
        try:
            with translate_errors(api):
                stream = api.events(decode=True, filters=_FILTERS)
                with self._lock:
                    self._stream = stream
                yield None
                for event in stream:
                    if pipeline := self._pipeline_of(event):
                        yield pipeline
        finally:
            self.interrupt()
            api.close()

    def answers(self) -> bool:
        """Ping the engine, over a connection that is kept."""
        try:
            if self._pinger is None:
                self._pinger = connect(self._environment)
                self._pinger.timeout = _PING_TIMEOUT
            with translate_errors(self._pinger):
                return bool(self._pinger.ping())
        except EngineFault:
            return False

    def interrupt(self) -> None:
        """Shut the connection of `follow` down."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            # The engine may have closed it.
            with suppress(OSError, AttributeError):
                stream.close()

    def _pipeline_of(self, event: Mapping[str, Any]) -> str | None:
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        if event.get("Type") == "network":
            prefix = network_prefix(self._home)
            name = str(attributes.get("name", ""))
            return name.removeprefix(prefix) if name.startswith(prefix) else None
        if attributes.get(LABEL_HOME) != self._home or attributes.get(LABEL_ROLE) != ROLE_APP:
            return None
        return attributes.get(LABEL_PIPELINE)
