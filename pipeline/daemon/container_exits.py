"""The containers of services that have exited, as the engines report it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.base.clock import Clock, Stamp
from pipeline.engine.interfaces import ReplicaChange

# An exit is shown for this long, also if the container was replaced at once.
_SHOWN = timedelta(minutes=1)
_MAX_EXITS = 1000


@dataclass(frozen=True)
class ContainerExit:
    """The exit of a container. `is_down`: it has neither started again nor been removed since."""

    exit_code: int
    at: Stamp
    is_down: bool = True


class ContainerExits:
    """Remembers the exits of the last minute, and those of containers that are still down. Safe from any thread.

    What happens while an engine is not followed is not known. The containers of that time count as running.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._exits: dict[str, ContainerExit] = {}
        self._lock = threading.Lock()

    def on_change(self, change: ReplicaChange | None) -> None:
        """Take a change of a replica, or None if any may have changed."""
        with self._lock:
            if change is None:
                self._exits = {name: replace(found, is_down=False) for name, found in self._exits.items()}
            elif change.exit_code is not None:
                self._exits.pop(change.replica, None)
                self._exits[change.replica] = ContainerExit(change.exit_code, self._clock.now())
            elif found := self._exits.get(change.replica):
                self._exits[change.replica] = replace(found, is_down=False)
            self._forget()

    def all(self) -> Mapping[str, ContainerExit]:
        """Return the exits by the name of the container, oldest first."""
        with self._lock:
            self._forget()
            return dict(self._exits)

    def _forget(self) -> None:
        now = self._clock.now()
        kept = {name: found for name, found in self._exits.items() if found.is_down or now.since(found.at) <= _SHOWN}
        self._exits = dict(list(kept.items())[-_MAX_EXITS:])
