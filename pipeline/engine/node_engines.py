"""The engines of the nodes of a Swarm that are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pipeline.base.errors import EngineFault
from pipeline.engine.interfaces import Engine


class NodeEngines:
    """The engine of this machine and those of other nodes, by name. Each is connected to when it is asked for.

    `connect` has a function for each of the others. Safe from any thread.
    """

    def __init__(self, name: str, local: Engine, connect: Mapping[str, Callable[[], Engine]]) -> None:
        self._local = {name: local}
        self._connect = connect
        self._opened: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def answering(self) -> Mapping[str, Engine]:
        """Return the engines that answer."""
        with self._lock:
            missing = [name for name in self._connect if name not in self._opened]
            if missing:
                with ThreadPoolExecutor(len(missing), "node") as pool:
                    found = dict(zip(missing, pool.map(self._try, missing), strict=True))
                self._opened |= {name: engine for name, engine in found.items() if engine is not None}
            return {**self._local, **{name: each for name, each in self._opened.items() if each.answers()}}

    def close(self) -> None:
        """Close the connections to the other nodes."""
        with self._lock:
            for engine in self._opened.values():
                engine.close()
            self._opened.clear()

    def _try(self, name: str) -> Engine | None:
        try:
            return self._connect[name]()
        except EngineFault:
            return None
