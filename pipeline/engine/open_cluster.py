"""The open connections to a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from pipeline.engine.cluster import SWARM_MEMBER, ClusterSpec
from pipeline.engine.host import LOCAL
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import Runtime
from pipeline.engine.swarm.swarm import Swarm


class OpenCluster:
    """The runtime of a cluster, and its engines. The one that opened it closes it. Safe from any thread.

    `engines` returns those that answer, by the names of their hosts. `place_on` sets the hosts that take replicas.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        runtime: Runtime,
        engines: Callable[[], Mapping[str, Engine]],
        close: Callable[[], object] = lambda: None,
        place_on: Callable[[Collection[str]], object] = lambda _: None,
        swarm: Swarm | None = None,
    ) -> None:
        self.spec = spec
        self.runtime = runtime
        self._engines = engines
        self._close = close
        self._place_on = place_on
        self.swarm = swarm
        """The Swarm, if it is a member of the cluster."""

    @property
    def engines(self) -> Mapping[str, Engine]:
        """The engines that answer, by the names of their hosts. Of several hosts, none before the first call."""
        return self._engines()

    @property
    def taking_engines(self) -> Mapping[str, Engine]:
        """The engines that answer and that may run new replicas. Of a Swarm, those of the nodes that are known."""
        names = {*self.spec.taking}
        if SWARM_MEMBER.name in names:
            names |= {LOCAL, *(node.name for node in self.spec.nodes)} - {*self.spec.drained_nodes}
        return {name: engine for name, engine in self.engines.items() if name in names}

    def let_take(self, names: Collection[str]) -> None:
        """Let these hosts take replicas from now on, and no others."""
        hosts = (replace(host, takes_replicas=host.name in names) for host in self.spec.hosts)
        self.spec = replace(self.spec, hosts=tuple(hosts))
        self._place_on(names)

    def close(self) -> None:
        """Close what was opened with it."""
        self._close()
