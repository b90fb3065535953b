"""The watches on the engines of the served pipelines: the local one, and that of each host. They come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

from pipeline.base.clock import Clock
from pipeline.base.errors import StoreFault
from pipeline.daemon.engine_watch import EngineWatch
from pipeline.daemon.scheduler import Loop, Scheduler
from pipeline.engine.cluster import SWARM, SWARM_MEMBER, ClusterSpec
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.interfaces import EngineEvents, ReplicaChange

# A new host has no replicas before, so nothing is missed.
_INTERVAL = timedelta(seconds=1)


class EngineWatches:
    """Watches the local engine from the start, and each host as long as a cluster has it. See `EngineWatch`.

    `clusters` returns the cluster of each pipeline that has another one than the local engine. Hosts of several
    pipelines with the same engine share a watch, also if they write its address in different ways. When no host has
    the address of a watch any more, another watch replaces it: the user may be another one.
    """

    def __init__(
        self,
        local: EngineEvents,
        events_of: Callable[[HostSpec], EngineEvents],
        clusters: Callable[[], Mapping[str, ClusterSpec]],
        changed: Callable[[ReplicaChange | None], None],
        clock: Clock,
    ) -> None:
        self._events_of = events_of
        self._clusters = clusters
        self._changed = changed
        self._clock = clock
        self._local = EngineWatch(local, changed, clock)
        self._hosts: dict[Hashable, EngineWatch] = {}
        self._loops: dict[Hashable, Loop] = {}
        # The addresses by which the engines are watched.
        self._addresses: dict[Hashable, str] = {}
        # The engines of each pipeline that has hosts, with their names. Replaced, never changed: other threads read it.
        self._engines: Mapping[str, Mapping[Hashable, str]] = {}
        # The pipelines with replicas in the Swarm. Replaced, never changed.
        self._in_swarm: frozenset[str] = frozenset()
        self._scheduler: Scheduler | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def start(self, scheduler: Scheduler) -> None:
        """Watch from now on. `scheduler` makes the checks of the connections."""
        self._scheduler = scheduler
        self._run(self._local, "engine-events")
        scheduler.add("check of the engine's events", self._local.check)
        scheduler.add("hosts of the pipelines", self.step)

    def step(self) -> timedelta:
        """Watch the hosts that there are now, and no others. Return the time until the next call."""
        with self._lock, suppress(StoreFault):
            self._follow(self._clusters())
        return _INTERVAL

    def is_live(self, pipeline: str, lost: Collection[str] = ()) -> bool:
        """Return whether each change of a replica of a pipeline is reported. Safe to call from any thread.

        `lost` are its hosts whose replicas are not listed. They have no events, and their return is reported. One that
        has events again is about to be listed, which no event reports.
        """
        hosts = self._hosts
        names = self._engines.get(pipeline, {})
        # A Swarm reports no changes of tasks.
        return (
            pipeline not in self._in_swarm
            and self._local.is_live
            and all(key in hosts and hosts[key].is_live is (name not in lost) for key, name in names.items())
        )

    def stop(self) -> None:
        """Request the end of all watches. Returns at once."""
        self._is_stopped = True
        for watch in (self._local, *self._hosts.values()):
            watch.stop()

    def _follow(self, clusters: Mapping[str, ClusterSpec]) -> None:
        hosts = [host for cluster in clusters.values() for host in _watched(cluster)]
        wanted = {host.engine: host for host in hosts}
        addresses = {host.docker for host in hosts}
        kept = {key for key in self._hosts.keys() & wanted.keys() if self._addresses[key] in addresses}
        for key in self._hosts.keys() - kept:
            self._loops.pop(key).stop()
            self._hosts.pop(key).stop()
        for key in wanted.keys() - self._hosts.keys():
            self._add(key, wanted[key])
        self._engines = {
            name: {host.engine: host.name for host in _watched(cluster)} for name, cluster in clusters.items()
        }
        self._in_swarm = frozenset(name for name, cluster in clusters.items() if SWARM_MEMBER in cluster.specs)

    def _add(self, key: Hashable, host: HostSpec) -> None:
        if self._scheduler is None or self._is_stopped:
            return
        watch = EngineWatch(self._events_of(host), self._changed, self._clock)
        self._addresses[key] = host.docker
        # `stop` and `is_live` may read it meanwhile.
        self._hosts = {**self._hosts, key: watch}
        self._run(watch, f"events-{host.name}")
        self._loops[key] = self._scheduler.add(f"check of the events of host {host.name}", watch.check)
        if self._is_stopped:
            watch.stop()

    def _run(self, watch: EngineWatch, name: str) -> None:
        threading.Thread(target=watch.run_forever, name=name, daemon=True).start()


def _watched(cluster: ClusterSpec) -> Iterator[HostSpec]:
    """Yield the hosts whose engines report changes, besides that of this machine."""
    return (host for host in cluster.specs if host.docker not in (LOCAL, SWARM))
