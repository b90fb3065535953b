"""The pipelines that the daemon manages. Those of services come and go."""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, Mapping, ValuesView

from pipeline.daemon.supervisor import PipelineSupervisor


class Supervisors(Mapping[str, PipelineSupervisor]):
    """Supervisors by the names of their pipelines.

    Safe to use from any thread: a loop goes over those there were at its beginning.
    """

    def __init__(self, known: Mapping[str, PipelineSupervisor]) -> None:
        self._known = dict(known)
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> PipelineSupervisor:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def items(self) -> ItemsView[str, PipelineSupervisor]:
        """Return the names and supervisors there are now."""
        return self._known.items()

    def values(self) -> ValuesView[PipelineSupervisor]:
        """Return the supervisors there are now."""
        return self._known.values()

    def add(self, supervisor: PipelineSupervisor) -> None:
        """Add a supervisor."""
        with self._lock:
            self._known = {**self._known, supervisor.served_file.name: supervisor}

    def remove(self, name: str) -> PipelineSupervisor | None:
        """Remove a supervisor and return it, None if there is none."""
        with self._lock:
            found = self._known.get(name)
            self._known = {known: each for known, each in self._known.items() if known != name}
        return found
