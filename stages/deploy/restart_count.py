"""The number of times that containers of a release have exited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.engine.runtime import Replica, Runtime


class RestartCount:
    """Counts the exits of those of a pipeline's replicas that `wanted` selects.

    It counts since each was created, or since it had exited as often as `start_after` says.

    Asks the runtime about a replica only if it may have exited since the last call. A replica that is removed keeps its
    count. For one thread at a time.
    """

    def __init__(
        self, runtime: Runtime, pipeline: str, wanted: Callable[[Sequence[Replica]], Iterable[Replica]]
    ) -> None:
        self._runtime = runtime
        self._pipeline = pipeline
        self._wanted = wanted
        self._exits: dict[str, int] = {}
        self._ages: dict[str, int | None] = {}
        self._before: Mapping[str, int] = {}

    def start_after(self, exits: Mapping[str, int]) -> None:
        """Leave out earlier exits, which `exits` has returned. For a replica that it does not name, all count."""
        self._before = dict(exits)

    def value(self) -> int:
        """Return the number of exits so far. Raises `EngineFault`."""
        return sum(max(count - self._before.get(name, 0), 0) for name, count in self.exits().items())

    def exits(self) -> Mapping[str, int]:
        """Return how often each replica has exited since it was created, by name. Raises `EngineFault`."""
        for replica in self._wanted(self._runtime.list(self._pipeline)):
            if self._may_have_exited(replica):
                self._count(replica.name)
            self._ages[replica.name] = replica.running_for if replica.running else None
        return dict(self._exits)

    def _may_have_exited(self, replica: Replica) -> bool:
        """Return whether a replica is new, does not run, or runs for no longer than at the last call."""
        if replica.name not in self._ages or not replica.running:
            return True
        before, age = self._ages[replica.name], replica.running_for
        # The runtime counts the seconds of a young process only.
        return age is not None and (before is None or age <= before)

    def _count(self, name: str) -> None:
        if end := self._runtime.ended(name):
            # One that has exited and is not restarted yet has no restart for that.
            self._exits[name] = max(self._exits.get(name, 0), end.restarts + (end.exit_code is not None))
