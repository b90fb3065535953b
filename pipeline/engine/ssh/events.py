"""The events of an engine behind a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.engine.interfaces import EngineEvents, ReplicaChange
from pipeline.engine.ssh.tunnel import Tunnel


class TunnelledEvents:
    """Events that come over a tunnel, which is open while they are followed. See `EngineEvents`."""

    def __init__(self, tunnel: Tunnel, events: EngineEvents) -> None:
        self._tunnel = tunnel
        self._events = events

    def follow(self) -> Iterator[ReplicaChange | None]:
        """Yield each change."""
        with self._tunnel:
            yield from self._events.follow()

    def answers(self) -> bool:
        """Return whether the engine responds while it is followed."""
        return self._events.answers()

    def interrupt(self) -> None:
        """Let `follow` end."""
        self._events.interrupt()
