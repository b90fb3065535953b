"""The work on services in a process that is not the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from pipeline.base.errors import LockHeld, PenstockError
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.ecs.context import service_context
from pipeline.ecs.store import EcsStore, Worked
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.outcome import emit_missing_outcomes
from pipeline.runner.ownership import set_owner
from pipeline.runner.queue_worker import QueueWorker
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.store.store import Store

_END_TIMEOUT = 60.0
_logger = structlog.get_logger(__name__)


class LocalWorkers:
    """Works on a service while it has runs. A service whose lock another process has is left to that process.

    `store` opens the database at the first use: most commands have nothing to do. Safe to use from any thread.
    """

    def __init__(self, home: Home, kept: EcsStore, store: Callable[[], Store]) -> None:
        self._home = home
        self._kept = kept
        self._store = store
        self._lock = threading.Lock()
        self._active: dict[str, _Worker] = {}
        self._is_closing = False
        self._reported: dict[str, str] = {}

    def wake(self, service: Worked) -> None:
        """Work on a service until its queue is empty."""
        with self._lock:
            if worker := self._active.get(service.pipeline):
                worker.wake()
            elif not self._is_closing:
                worker = self._active[service.pipeline] = _Worker(lambda: self._context(service))
                threading.Thread(target=self._work, args=(service, worker), name=service.pipeline, daemon=True).start()

    def cancel(self, service: Worked, run: int) -> None:
        """Stop a run that this process executes."""
        with self._lock:
            worker = self._active.get(service.pipeline)
        if worker is not None:
            worker.queue.cancel(run)

    def release(self, service: Worked) -> None:
        """Do nothing: a worker ends by itself."""

    def close(self, timeout: timedelta) -> bool:
        """Stop. What is in Deploy may end within `timeout`, and the next process continues the rest.

        Return whether no thread uses the database any more.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        with self._lock:
            self._is_closing = True
            workers = list(self._active.values())
        for worker in workers:
            worker.stop(max(0.0, deadline - time.monotonic()))
        return all(worker.ended.is_set() for worker in workers)

    def _context(self, service: Worked) -> PipelineContext:
        known = self._kept.current(service) or service
        return service_context(self._home, self._store(), self._kept, known)

    def _work(self, service: Worked, worker: _Worker) -> None:
        try:
            with work_lock(self._home.lock(service.pipeline), f"a stack's deployment of {service.pipeline}"):
                worker.work()
        except LockHeld:
            # Who has the lock works on the queue. The next call looks again.
            pass
        except PenstockError as error:
            # Whoever waits for the service wakes it twice a second. Each reason is reported once.
            if self._reported.get(service.pipeline) != error.message:
                _logger.warning("work on a service interrupted", service=service.arn, error=error.message)
            self._reported[service.pipeline] = error.message
        finally:
            with self._lock:
                del self._active[service.pipeline]
            worker.ended.set()


class _Worker:
    """The work of one thread on one service."""

    def __init__(self, context: Callable[[], PipelineContext]) -> None:
        self._context = context
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self.ended = threading.Event()
        self.queue = QueueWorker(context, DeployLock(), self.wake)

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    def stop(self, timeout: float) -> None:
        """Let a run in Deploy end within `timeout` seconds, and requeue another."""
        self._stopping.set()
        self.wake()
        self.queue.stop(timeout)
        self.ended.wait(timeout)

    def work(self) -> None:
        """Recover after a crash, then execute the queued runs. The caller holds the pipeline's lock."""
        context = self._context()
        set_owner(context.store, context.configuration)
        emit_missing_outcomes(context)
        if needs_recovery(context.stage_context()):
            recover(context)
        while not self._stopping.is_set() and context.store.queue.unfinished(context.pipeline):
            delay = self.queue.run_once()
            self._woken.wait(delay.total_seconds())
            self._woken.clear()
        # A run's thread prunes the history after the run has ended.
        self.queue.stop(_END_TIMEOUT)
