"""The runtime of replicas that move between a Swarm and hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from pipeline.base.errors import EngineFault
from pipeline.engine.cluster import SWARM_MEMBER
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, Runtime, StopResult

T = TypeVar("T")


class MovingRuntime:
    """A runtime that starts replicas at the Swarm if that takes replicas, else at hosts. Others are leaving.

    `names` are those of the hosts. If all of them are lost and take none, they have no replicas, as far as is known.
    `place_on` sets the hosts that take replicas. `taking` are the names of the members that do. See `Runtime`.
    """

    def __init__(
        self,
        swarm: Runtime,
        hosts: Runtime,
        names: frozenset[str],
        place_on: Callable[[Collection[str]], object],
        *,
        taking: Collection[str],
    ) -> None:
        self._swarm = swarm
        self._hosts = hosts
        self._names = names
        self._place_hosts = place_on
        self._swarm_takes = SWARM_MEMBER.name in taking
        self._listed: dict[str, Runtime] = {}

    @property
    def lost(self) -> tuple[str, ...]:
        """The names of the hosts that are lost."""
        return self._hosts.lost

    def place_on(self, names: Collection[str]) -> None:
        """Let these members take replicas, and no others."""
        self._swarm_takes = SWARM_MEMBER.name in names
        self._place_hosts([name for name in names if name in self._names])

    def prepare(self, pipeline: str) -> None:
        """Create what the pipeline's new replicas need."""
        self._taking.prepare(pipeline)

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica, in any state."""
        empty: tuple[Replica, ...] = ()
        in_swarm = self._swarm.list(pipeline)
        on_hosts = self._unless_lost(lambda: self._hosts.list(pipeline), empty)
        self._listed = {each.name: self._swarm for each in in_swarm} | {each.name: self._hosts for each in on_hosts}
        if not self._swarm_takes:
            in_swarm = tuple(replace(each, is_leaving=True) for each in in_swarm)
        return (*in_swarm, *on_hosts)

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica where they move to."""
        self._taking.start(spec)

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""
        self._call(name, lambda runtime: runtime.set_restart_policy(name, policy), None)

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited."""
        return self._call(name, lambda runtime: runtime.stop(name, grace), StopResult.NOT_RUNNING)

    def remove(self, name: str) -> None:
        """Remove a replica, running or not."""
        self._call(name, lambda runtime: runtime.remove(name), None)

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone."""
        return self._call(name, lambda runtime: runtime.ended(name), None)

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the replica is gone."""
        return self._call(name, lambda runtime: runtime.tail(name, lines), ())

    def clear(self, pipeline: str) -> None:
        """Undo `prepare` at both."""
        self._swarm.clear(pipeline)
        self._hosts.clear(pipeline)

    @property
    def _taking(self) -> Runtime:
        return self._swarm if self._swarm_takes else self._hosts

    def _call(self, name: str, work: Callable[[Runtime], T], absent: T) -> T:
        return self._unless_lost(lambda: work(self._at(name)), absent)

    def _at(self, name: str) -> Runtime:
        """Return where a replica is. One that was not listed may be at either."""
        if name in self._listed:
            return self._listed[name]
        return self._swarm if self._swarm.ended(name) is not None else self._hosts

    def _unless_lost(self, ask: Callable[[], T], absent: T) -> T:
        try:
            return ask()
        except EngineFault:
            if self._swarm_takes and self._names <= {*self._hosts.lost}:
                return absent
            raise
