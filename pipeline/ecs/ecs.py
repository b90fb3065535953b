"""ECS of a home: what it keeps, and the changes of its services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property

from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.base.home import Home
from pipeline.ecs.local_workers import LocalWorkers
from pipeline.ecs.records import Service, TaskDefinition
from pipeline.ecs.services import SUCCESSES, Services, Workers
from pipeline.ecs.store import EcsStore
from pipeline.store.store import Store


class Ecs:
    """Everything that the providers of ECS's types need. `workers` are those of the daemon, else this process's own.

    Databases are opened at the first use. Safe to use from any thread.
    """

    def __init__(self, home: Home, workers: Workers | None = None) -> None:
        self.home = home
        self.store = EcsStore(home.aws)
        self._own = LocalWorkers(home, self.store, lambda: self.runs)
        self._workers: Workers = workers or self._own

    @cached_property
    def services(self) -> Services:
        """The changes of services."""
        return Services(self.home, self.store, self.runs, self._workers)

    @cached_property
    def registry(self) -> Callable[[], Registry]:
        """Return the resources of the balancer."""
        return open_balancer(self.home.balancer).registry

    def close(self, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Stop the work of this process. The next one continues it."""
        if self._own.close(timeout) and "runs" in self.__dict__:
            self.runs.close()

    @cached_property
    def runs(self) -> Store:
        """The runs of services."""
        return Store(self.home.database)

    def definition(self, service: Service) -> TaskDefinition | None:
        """Return the revision that a service should run. After a deployment that failed, it is that of before."""
        last = next(iter(self.runs.runs.latest(service.pipeline, limit=1)), None)
        if last is None or not last.state.over or last.state in SUCCESSES:
            return self.store.task_definition(service.owner, service.wanted.task_definition)
        return self.present(service) or self.store.task_definition(service.owner, service.wanted.task_definition)

    def present(self, service: Service) -> TaskDefinition | None:
        """Return the revision of the tasks that are in service."""
        active = self.runs.releases.active(service.pipeline)
        return self.store.of_sha(service.owner, active.sha) if active else None
