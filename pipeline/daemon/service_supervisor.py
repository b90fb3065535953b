"""The services of stacks in the daemon: each is a pipeline that it manages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.daemon.supervisors import Supervisors
from pipeline.events import Listener
from pipeline.store.records import RunState
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pipeline.ecs.store import EcsStore, Worked

# For services that another process has made or removed.
_CHECK_INTERVAL = timedelta(seconds=5)
_STOP_TIMEOUT = 30.0
_logger = structlog.get_logger(__name__)


class ServiceSupervisor:
    """Adds a supervisor for each service of the home, and ends those of services that are gone.

    Implements `Workers`. A home without services loads nothing of them. Safe to use from any thread.
    """

    def __init__(
        self,
        home: Home,
        store: Store,
        supervisors: Supervisors,
        supervise: Callable[[ServedFile], PipelineSupervisor],
        listeners: Sequence[Listener],
        clock: Clock,
    ) -> None:
        self._home = home
        self._store = store
        self._supervisors = supervisors
        self._supervise = supervise
        self._listeners = listeners
        self._clock = clock
        self._kept: EcsStore | None = None
        self._own: set[str] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._failed: set[str] = set()

    def step(self) -> timedelta:
        """Add and end what another process has made or removed. Return the time until the next call."""
        if self._kept is None and not (self._home.aws / "ecs.json").exists():
            return _CHECK_INTERVAL
        try:
            services = self._store_of_services().read().worked_on
        except PenstockError as error:
            _logger.warning("cannot read the services of stacks", error=error.message)
            return _CHECK_INTERVAL
        for service in services:
            self._add(service)
        for name in self._own - {service.pipeline for service in services}:
            self._remove(name)
        return _CHECK_INTERVAL

    def wake(self, service: Worked) -> None:
        """Let the queue of a service be worked on."""
        self._add(service)
        if supervisor := self._supervisors.get(service.pipeline):
            supervisor.queue_worker.wake()

    def cancel(self, service: Worked, run: int) -> None:
        """Stop a run, if it is not queued any more."""
        if supervisor := self._supervisors.get(service.pipeline):
            found = self._store.runs.get(service.pipeline, run)
            if found is not None and found.state is RunState.RUNNING:
                supervisor.queue_worker.cancel(run)

    def release(self, service: Worked) -> None:
        """End the supervisor of a service that does not exist any more."""
        self._remove(service.pipeline)

    def close(self) -> None:
        """Add no service any more. The daemon ends their supervisors with all others."""
        with self._lock:
            self._is_closing = True

    def _add(self, service: Worked) -> None:
        from pipeline.daemon.served_service import ServedService

        with self._lock:
            if self._is_closing or service.pipeline in self._own:
                return
            try:
                kept = self._store_of_services()
                served = ServedService(service, self._home, self._store, kept, self._listeners, self._clock)
            except PenstockError as error:
                if service.pipeline not in self._failed:
                    _logger.warning("cannot manage a service", service=service.arn, error=error.message)
                self._failed.add(service.pipeline)
                return
            self._failed.discard(service.pipeline)
            supervisor = self._supervise(served)
            self._own.add(service.pipeline)
            self._supervisors.add(supervisor)
            supervisor.start()

    def _remove(self, name: str) -> None:
        with self._lock:
            self._own.discard(name)
            supervisor = self._supervisors.remove(name)
        if supervisor is not None:
            # Its jobs may wait for a repair to stop, and callers must not.
            threading.Thread(target=supervisor.stop, args=(_STOP_TIMEOUT,), name=f"end of {name}", daemon=True).start()

    def _store_of_services(self) -> EcsStore:
        from pipeline.ecs.store import EcsStore

        if self._kept is None:
            self._kept = EcsStore(self._home.aws)
        return self._kept
