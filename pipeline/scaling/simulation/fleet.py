"""The replicas of a simulation: which of them get requests, and when each can take the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.scaling.simulation.model import ServiceModel

Slots = list[float]
"""A heap with a replica's places for requests: when each becomes free, in seconds. The first is free first."""


@dataclass(slots=True)
class _Replica:
    created: float
    ready: float
    slots: Slots


class Fleet:
    """Adds and removes replicas, and adds up the time for which they ran."""

    def __init__(self, model: ServiceModel, count: int) -> None:
        self._model = model
        self._starting: list[_Replica] = []
        self._running = [self._new(0.0, 0.0) for _ in range(count)]
        self._ended_seconds = 0.0
        self.serving: list[Slots] = [replica.slots for replica in self._running]
        """The replicas that get requests. The list stays the same object."""

    @property
    def count(self) -> int:
        """The number of replicas that serve or start."""
        return len(self._running) + len(self._starting)

    @property
    def starting(self) -> int:
        """The number of replicas that start."""
        return len(self._starting)

    @property
    def next_ready(self) -> float:
        """The time at which the next replica is ready, or infinity."""
        return self._starting[0].ready if self._starting else float("inf")

    def set_count(self, count: int, now: float) -> None:
        """Start replicas, or drain the newest ones. A drained replica ends with its last request."""
        while self.count < count:
            self._starting.append(self._new(now, now + self._model.start_time))
        while self.count > count:
            replica = self._starting.pop() if self._starting else self._running.pop()
            self._ended_seconds += max(now, *replica.slots) - replica.created
        self._update()

    def admit(self, now: float) -> None:
        """Let the replicas serve that are ready."""
        while self._starting and self._starting[0].ready <= now:
            self._running.append(self._starting.pop(0))
        self._update()

    def seconds(self, now: float) -> float:
        """Return the time for which all replicas ran so far, added up."""
        return self._ended_seconds + sum(now - replica.created for replica in self._all())

    def _all(self) -> Iterator[_Replica]:
        yield from self._running
        yield from self._starting

    def _update(self) -> None:
        self.serving[:] = [replica.slots for replica in self._running]

    def _new(self, now: float, ready: float) -> _Replica:
        return _Replica(now, ready, [ready] * self._model.concurrency)
