"""The containers of services that have exited by themselves, as the engines report it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.base.clock import Clock, Stamp
from pipeline.base.errors import StoreFault
from pipeline.engine.interfaces import ReplicaChange
from pipeline.event_kinds import EventKind
from pipeline.store.events import EventLog

# An exit is shown for this long, also if the container was replaced at once.
_SHOWN = timedelta(minutes=1)
_MAX_EXITS = 1000


@dataclass(frozen=True)
class ContainerExit:
    """The exit of a container. `is_down`: it has neither started again nor been removed since."""

    exit_code: int
    at: Stamp
    is_down: bool = True


def is_stopped(events: EventLog, pipeline: str, replica: str) -> bool:
    """Return whether a deployment or a repair, of any process, has let a replica stop. False if it is not known."""
    # The event is stored before the container gets its signal.
    with suppress(StoreFault):
        return events.is_of_target(pipeline, EventKind.CONTAINER_STOPPING, replica)
    return False


class ContainerExits:
    """Remembers the exits of the last minute, and those of containers that are still down. Safe from any thread.

    `is_stopped` returns whether a pipeline has let a container stop. Its exit is no news, and is left out.
    What happens while an engine is not followed is not known. The containers of that time count as running.
    """

    def __init__(self, clock: Clock, is_stopped: Callable[[str, str], bool] = lambda _, __: False) -> None:
        self._clock = clock
        self._is_stopped = is_stopped
        self._exits: dict[str, ContainerExit] = {}
        self._lock = threading.Lock()

    def on_change(self, change: ReplicaChange | None) -> None:
        """Take a change of a replica, or None if any may have changed."""
        # Asked before the lock is taken, since it reads the database.
        is_stopped = (
            change is not None and change.exit_code is not None and self._is_stopped(change.pipeline, change.replica)
        )
        with self._lock:
            if change is None:
                self._exits = {name: replace(found, is_down=False) for name, found in self._exits.items()}
            elif change.exit_code is not None:
                self._exits.pop(change.replica, None)
                if not is_stopped:
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
