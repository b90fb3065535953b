"""The containers of a pipeline's cluster, over connections that a loop of the daemon keeps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.interfaces import ExistingContainers


class ClusterContainers:
    """Connects at the first use, and again when the cluster has changed. For one thread at a time.

    `connect` connects to the containers of a cluster for the time of its block.
    """

    def __init__(
        self,
        cluster: Callable[[], ClusterSpec],
        connect: Callable[[ClusterSpec], AbstractContextManager[ExistingContainers]],
    ) -> None:
        self._cluster = cluster
        self._connect = connect
        self._connected: tuple[ClusterSpec, ExistingContainers] | None = None
        self._held = ExitStack()

    def current(self) -> ExistingContainers:
        """Return the containers of the cluster as it is now. Raises `EngineFault` if it cannot be connected to."""
        cluster = self._cluster()
        if self._connected is None or self._connected[0] != cluster:
            self.close()
            self._connected = cluster, self._held.enter_context(self._connect(cluster))
        return self._connected[1]

    def close(self) -> None:
        """Close the connections."""
        self._connected = None
        self._held.close()
