"""A service of a stack in the daemon, in place of a pipeline.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.base.clock import Clock
from pipeline.base.home import Home
from pipeline.daemon.served_file import ServedFile
from pipeline.ecs.context import service_context
from pipeline.ecs.records import Service
from pipeline.ecs.store import EcsStore
from pipeline.events import Listener
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store


class ServedService(ServedFile):
    """The configuration of a service, made anew as soon as its record has changed."""

    is_triggered = False

    def __init__(
        self, service: Service, home: Home, store: Store, kept: EcsStore, listeners: Sequence[Listener], clock: Clock
    ) -> None:
        self._service = service
        self._kept = kept
        super().__init__(kept.file, home, store, listeners, clock=clock)

    @property
    def pipeline_context(self) -> PipelineContext:
        """The context as the record is now: a run is queued just after it has changed."""
        with self._lock:
            self._reload_if_changed()
            return self._context

    @property
    def group_owner(self) -> str:
        """The owner of the target group, empty without one."""
        return self._service.group.owner if self._service.group else ""

    def has_become_valid(self) -> bool:
        """Return False: a record is checked before it is written."""
        return False

    def check(self, parameters: Mapping[str, str]) -> None:
        """Do nothing: a record is checked before it is written."""

    def _reload(self) -> bool:
        found = self._kept.service(self._service.owner, self._service.arn)
        if found is not None and not found.is_as_wanted(self._service):
            self._service = found
            self._context = self._read()
        return False

    def _read(self) -> PipelineContext:
        return service_context(self._home, self._store, self._kept, self._service, self._listeners, self._clock)
