"""The stacks of the daemon's home."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.base.errors import StoreFault
from pipeline.base.home import Home

if TYPE_CHECKING:
    from pipeline.ecs.ecs import Ecs
    from pipeline.ecs.services import Workers
    from pipeline.stacks.stacks import Stacks

_CHECK_INTERVAL = timedelta(seconds=30)


class StackSupervisor:
    """Carries out the operations on stacks, and resumes those that another process has left.

    Stacks are loaded at their first use, because a daemon that only follows a repository needs none. Safe to use from
    any thread. `zones` are those of the command line, `NAME=ADDRESS`.
    """

    def __init__(
        self,
        home: Home,
        has_unfinished: Callable[[], bool],
        workers: Workers | None = None,
        zones: Sequence[str] = (),
    ) -> None:
        self._home = home
        self._workers = workers
        self._zones = zones
        self._has_unfinished = has_unfinished
        self._lock = threading.Lock()
        self._stacks: Stacks | None = None
        self._ecs: Ecs | None = None

    def stacks(self) -> Stacks:
        """Return the stacks."""
        with self._lock:
            if self._stacks is None:
                from pipeline.network.zones import parse_zones
                from pipeline.stacks.offered import open_stacks

                self._stacks = open_stacks(self._home, parse_zones(self._zones), ecs=self._open_ecs())
            return self._stacks

    def ecs(self) -> Ecs:
        """Return ECS of the home."""
        with self._lock:
            return self._open_ecs()

    def _open_ecs(self) -> Ecs:
        if self._ecs is None:
            from pipeline.ecs.ecs import Ecs

            self._ecs = Ecs(self._home, self._workers)
        return self._ecs

    def step(self) -> timedelta:
        """Resume operations that no process carries out. Return the time until the next call."""
        try:
            if self._has_unfinished():
                self.stacks().jobs.resume()
        except StoreFault:
            # The disk is full or the file is locked. Whoever needs the database reports that.
            pass
        return _CHECK_INTERVAL

    def close(self) -> None:
        """Suspend all operations after the calls that are being made. The next process resumes them."""
        with self._lock:
            if self._stacks is not None:
                self._stacks.close()
            elif self._ecs is not None:
                self._ecs.close()
