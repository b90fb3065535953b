"""A service or a pipeline of a stack in the daemon, in place of a pipeline.yaml of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.base.clock import Clock
from pipeline.base.files import FileStamp
from pipeline.base.home import Home
from pipeline.daemon.served_file import ServedFile
from pipeline.ecs.context import service_context
from pipeline.ecs.stack_pipeline import StackPipeline
from pipeline.ecs.store import EcsStore, Worked
from pipeline.events import Listener
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store


class ServedService(ServedFile):
    """The configuration of a service or a pipeline, made anew as soon as its record has changed."""

    def __init__(
        self, service: Worked, home: Home, store: Store, kept: EcsStore, listeners: Sequence[Listener], clock: Clock
    ) -> None:
        self._service = service
        self._kept = kept
        self._has_changed = False
        self.is_triggered = isinstance(service, StackPipeline)
        self.is_service = not self.is_triggered
        file = service.file(home) if isinstance(service, StackPipeline) else kept.file
        super().__init__(file, home, store, listeners, clock=clock)

    @property
    def pipeline_context(self) -> PipelineContext:
        """The context as the record is now: a run is queued just after it has changed."""
        with self._lock:
            self._reload_if_changed()
            return self._context

    @property
    def group_owner(self) -> str:
        """The owner of the target group, empty without one."""
        if isinstance(self._service, StackPipeline):
            return self.name
        return self._service.group.owner if self._service.group else ""

    def reload_if_changed(self) -> bool:
        """Return whether the configuration was replaced since the last call: its triggers may be others now."""
        with self._lock:
            self._reload_if_changed()
            changed, self._has_changed = self._has_changed, False
            return changed

    def has_become_valid(self) -> bool:
        """Return False: a record is checked before it is written."""
        return False

    def check(self, parameters: Mapping[str, str]) -> None:
        """Do nothing: a record is checked before it is written."""

    def _reload(self) -> bool:
        found = self._kept.current(self._service)
        if found is not None and not found.is_as_wanted(self._service):
            self._service = found
            self._context = self._read()
            self._has_changed = self.is_triggered
        return False

    def _stamp(self) -> FileStamp | None:
        # A pipeline's own file follows from its record, for commands.
        return self._kept.stamp()

    def _read(self) -> PipelineContext:
        return service_context(self._home, self._store, self._kept, self._service, self._listeners, self._clock)
