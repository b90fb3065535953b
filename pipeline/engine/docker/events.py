"""The event stream of the Docker Engine, limited to the replicas of one home."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.connection import connect
from pipeline.engine.docker.faults import translate_errors
from pipeline.engine.interfaces import ReplicaChange
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_APP

# Exec events would come with each check of any container. `health_status` comes only when the health changes. A replica
# whose network changes fails its health check, which the data plane reports.
_CHANGES = ["start", "die", "destroy", "pause", "unpause", "rename", "health_status"]
_PING_TIMEOUT = 10


class DockerEvents:
    """The events of the engine that `environment` names. See `EngineEvents`."""

    def __init__(self, home: str, environment: Mapping[str, str]) -> None:
        labels = [f"{LABEL_HOME}={home}", f"{LABEL_ROLE}={ROLE_APP}"]
        self._filters = {"type": ["container"], "event": _CHANGES, "label": labels}
        self._environment = environment
        self._lock = threading.Lock()
        self._stream: Any = None
        self._api: Any = None

    def follow(self) -> Iterator[ReplicaChange | None]:
        """Yield each change."""
        # One connection has the stream, and the other one the pings.
        api = self._api = connect(self._environment, pool=2)
        api.timeout = _PING_TIMEOUT
        try:
            with translate_errors(api):
                stream = api.events(decode=True, filters=self._filters)
                with self._lock:
                    self._stream = stream
                yield None
                for event in stream:
                    attributes = event["Actor"]["Attributes"]
                    if pipeline := attributes.get(LABEL_PIPELINE):
                        # A container has this attribute only in the event of its exit.
                        code = attributes.get("exitCode", "")
                        yield ReplicaChange(pipeline, attributes["name"], int(code) if code else None)
        finally:
            self._api = None
            self.interrupt()
            api.close()

    def answers(self) -> bool:
        """Ping the engine while it is followed."""
        api = self._api
        try:
            with translate_errors(api):
                return api is not None and bool(api.ping())
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
