"""The containers of a pipeline as the engine shows them: what the balancer cannot know of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from pipeline.base.errors import EngineFault, HostSilent, PenstockError
from pipeline.base.home import Home
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.container import Container
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_SERVICE, ROLE_ACCESSORY

TIMEOUT = 1.0
"""Seconds for the engine. A command that only reads must not hang with it, and waits two for the daemon's report."""
SILENCE = timedelta(seconds=10)
"""The time for a host to answer. Before the first command of a home, it includes that for a connection by SSH."""
_LOCAL = ClusterSpec()
# Seconds for what is asked about each container after the list.
_INSPECTION = 0.5
_MAX_PARALLEL_LOOKS = 16
_LOOKING: dict[tuple[str, str, str], threading.Thread] = {}


@dataclass(frozen=True)
class Restarts:
    """The restarts of one container since it was created, and the start of its last process."""

    container: str
    count: int
    last: datetime | None


@dataclass
class EngineView:
    """The containers of a pipeline, and those that the engine had to restart.

    The balancer may find a container healthy between two crashes, and does not know those without a target group.
    `accessories` is None if the engine did not list them. `missing` has the hosts that did not answer.
    """

    containers: list[Container] = field(default_factory=list)
    accessories: Sequence[Container] | None = None
    restarts: list[Restarts] = field(default_factory=list)
    missing: Mapping[str, EngineFault] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Home, pipeline: str, cluster: ClusterSpec = _LOCAL, silence: timedelta = SILENCE) -> EngineView:
        """Look at a pipeline's containers. Empty if the engine does not answer within a second.

        Each host of several has `silence` to answer.
        """
        found = cls()
        if cluster.is_local:
            looks = [_Look((home.id, pipeline, "engine"), lambda: found.collect(home, pipeline), TIMEOUT)]
        else:
            seconds = silence.total_seconds()
            looks = [
                _Look((home.id, pipeline, "engine"), lambda: found.collect_accessories(home, pipeline), TIMEOUT),
                _Look(
                    (home.id, pipeline, "hosts"),
                    lambda: found.collect_hosts(home, pipeline, cluster, silence),
                    seconds + _INSPECTION,
                ),
            ]
        if (home.id, pipeline, "hosts") in _take(looks):
            names = [spec.name for spec in cluster.specs]
            found.missing = {name: HostSilent(f"host {name}: an earlier look has not ended") for name in names}
        return cls(list(found.containers), found.accessories, list(found.restarts), dict(found.missing))

    def collect(self, home: Home, pipeline: str) -> None:
        """Fill the view, for as long as the engine takes."""
        from pipeline.engine.hosts import local_engine

        try:
            with local_engine(home.id) as engine:
                self.containers += engine.containers.for_pipeline(pipeline)
                self.accessories = engine.containers.for_pipeline(pipeline, ROLE_ACCESSORY)
                for listed in self.containers:
                    self._add_restarts(engine.containers.inspect(listed.id))
        except PenstockError:
            # The engine is down, or a container has just been removed. What was found is shown.
            return

    def collect_accessories(self, home: Home, pipeline: str) -> None:
        """Fill in the accessories, which are on the local engine."""
        from pipeline.engine.hosts import local_engine

        with suppress(PenstockError), local_engine(home.id) as engine:
            self.accessories = engine.containers.for_pipeline(pipeline, ROLE_ACCESSORY)

    def collect_hosts(self, home: Home, pipeline: str, cluster: ClusterSpec, silence: timedelta) -> None:
        """Fill in the containers on the hosts of a cluster."""
        from pipeline.engine.cluster_members import containers_of

        # Without any host that answers, nothing is shown but why.
        with suppress(PenstockError), containers_of(cluster, home.id, home.hosts, silence=silence) as containers:
            try:
                self.containers += containers.for_pipeline(pipeline)
            finally:
                self.missing = containers.missing

            def inspect(listed: Container) -> None:
                with suppress(PenstockError):
                    self._add_restarts(containers.inspect(listed.id))

            with ThreadPoolExecutor(_MAX_PARALLEL_LOOKS, thread_name_prefix="engine view") as pool:
                list(pool.map(inspect, self.containers))

    def _add_restarts(self, container: Container) -> None:
        if container.restarts:
            self.restarts.append(Restarts(container.name, container.restarts, container.process_started_at))

    def without_targets(self, targets: Collection[str]) -> Sequence[Container]:
        """Return the containers of services that have none of these targets, by name."""
        service_of = {each.name: each.labels.get(LABEL_SERVICE, DEFAULT_SERVICE) for each in self.containers}
        registered = {service for name, service in service_of.items() if name in targets}
        return sorted(
            (each for each in self.containers if service_of[each.name] not in registered), key=lambda each: each.name
        )


class _Look(NamedTuple):
    """A look at an engine or at all hosts, and the seconds after which it is not waited for any more."""

    key: tuple[str, str, str]
    work: Callable[[], None]
    seconds: float


def _take(looks: Sequence[_Look]) -> set[tuple[str, str, str]]:
    """Take looks at the same time. One whose predecessor hangs is left out: others would wait with it.

    Returns the keys of those that are left out.
    """
    began, threads, left_out = time.monotonic(), [], {look.key for look in looks}
    for look in looks:
        earlier = _LOOKING.get(look.key)
        if earlier is None or not earlier.is_alive():
            thread = _LOOKING[look.key] = threading.Thread(target=look.work, name="engine view", daemon=True)
            thread.start()
            left_out.discard(look.key)
            threads.append((thread, look.seconds))
    for thread, seconds in threads:
        thread.join(max(0.0, began + seconds - time.monotonic()))
    return left_out
