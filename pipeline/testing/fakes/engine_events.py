"""Events of an engine that a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue

from pipeline.base.errors import EngineFault
from pipeline.engine.interfaces import ReplicaChange


class FakeEngineEvents:
    """The `EngineEvents` of an engine that a test takes away and lets hang. `connections` counts those that were made.

    Events before a connection, and while the engine hangs, are not reported on it.
    """

    def __init__(self) -> None:
        self.is_away = False
        self.hangs = False
        self.connections = 0
        self._queue: Queue[ReplicaChange | None] | None = None

    def report(self, change: ReplicaChange) -> None:
        """Report a change of a replica."""
        if self._queue is not None and not self.hangs:
            self._queue.put(change)

    def go_away(self) -> None:
        """Close the connection, and accept no other one until `is_away` is False."""
        self.is_away = True
        self.interrupt()

    def follow(self) -> Iterator[ReplicaChange | None]:
        if self.is_away or self.hangs:
            raise EngineFault("Docker is not running")
        self._queue = queue = Queue[ReplicaChange | None]()
        self.connections += 1
        yield None
        while (change := queue.get()) is not None:
            yield change

    def answers(self) -> bool:
        return self._queue is not None and not (self.is_away or self.hangs)

    def interrupt(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.put(None)
