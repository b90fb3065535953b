"""The replicas that have exited, and those of them that a user may be restarting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pipeline.base.clock import Clock, Stamp
from stages.deploy.decision import Replica

# `docker restart` stops a container as `docker stop` does, and starts it again within about this time. Only then is a
# container that was stopped replaced.
RESTART_TIME = timedelta(seconds=0.75)
# Docker reports an exit, releases the container's network, and only then shows the exit in its list.
_LIST_DELAY = timedelta(seconds=5)


class Exits:
    """Follows the replicas of one service, by looks and by the engine's reports."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: set[str] = set()
        self._since: dict[str, Stamp] = {}

    def report(self, name: str) -> bool:
        """Take over a report of the engine. Return whether the replica ran at the last look."""
        if name not in self._running:
            return False
        self._since[name] = self._clock.now()
        return True

    def observe(self, replicas: Sequence[Replica]) -> list[str]:
        """Take over a look. Return the names of those that ran at the last one, and whose exit was not reported."""
        now, known, before = self._clock.now(), self._since, self._running
        running = {replica.name for replica in replicas if replica.is_running}
        exited = {replica.name for replica in replicas if not replica.is_running}
        # Reported, and not in the list yet.
        reported = {name for name in running & before & known.keys() if self._age(name) < _LIST_DELAY}
        self._since = {name: known.get(name, now) for name in exited | reported}
        self._running = running
        return sorted((exited & before) - known.keys())

    def may_be_restarting(self, replica: Replica) -> bool:
        """Return whether a container exists and has exited so recently that a user may be restarting it."""
        return bool(replica.template) and replica.name in self._since and self._age(replica.name) < RESTART_TIME

    def _age(self, name: str) -> timedelta:
        return self._clock.since(self._since[name])
