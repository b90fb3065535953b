"""The open connections to a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import Runtime


class OpenCluster:
    """The runtime of a cluster, and its engines. The one that opened it closes it. Safe from any thread.

    `engines` returns those that answer, by the names of their hosts.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        runtime: Runtime,
        engines: Callable[[], Mapping[str, Engine]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.runtime = runtime
        self._engines = engines
        self._close = close

    @property
    def engines(self) -> Mapping[str, Engine]:
        """The engines that answer, by the names of their hosts. Of several hosts, none before the first call."""
        return self._engines()

    def close(self) -> None:
        """Close what was opened with it."""
        self._close()
