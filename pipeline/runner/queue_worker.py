"""Execution of queued runs, each in its own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from pipeline.base.errors import PenstockError, StoreFault
from pipeline.base.memory import release_memory
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.history import prune
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.run import Execution
from pipeline.store.records import Run

# While runs are queued or executed. A gate may open, and a run may be superseded, by a change that nobody reports.
_POLL_INTERVAL = timedelta(seconds=2)
# While there is none. Whoever queues a run wakes the worker, and so does a change of the database by another process.
_IDLE_INTERVAL = timedelta(minutes=1)
_logger = structlog.get_logger(__name__)


@dataclass
class _ActiveRun:
    """A run in execution."""

    run: Run
    cancelled: threading.Event = field(default_factory=threading.Event)
    cancelled_by_user: bool = False
    thread: threading.Thread | None = None


class QueueWorker:
    """Executes the queued runs of one pipeline. Callers hold the pipeline's lock.

    `pipeline_context` is called for each run, because the configuration may have been reloaded. `on_wake` is called
    when `run_once` should be called before its interval has passed, from any thread.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        deploy_lock: DeployLock,
        on_wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._on_wake = on_wake
        self._active: dict[int, _ActiveRun] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last_reported = ""
        self._had_work = False

    def wake(self) -> None:
        """Request a look at the queue now."""
        self._on_wake()

    def run_once(self) -> timedelta:
        """Start the runs that may start, and return the time until the next call. An error of a run ends only that run.

        Starts nothing after `stop`.
        """
        if self._stopping.is_set():
            return _IDLE_INTERVAL
        try:
            self._stop_superseded()
            self._recover()
            while self._start_next():
                pass
            context = self._pipeline_context()
            has_work = bool(context.store.queue.unfinished(context.pipeline))
            if self._had_work and not has_work:
                release_memory()
            self._had_work = has_work
            self._last_reported = ""
        except PenstockError as error:
            self._emit_blocked(error.message)
            return _POLL_INTERVAL
        return _POLL_INTERVAL if has_work else _IDLE_INTERVAL

    def cancel(self, number: int) -> bool:
        """Cancel a run in execution. Return False if the run is not in execution."""
        with self._lock:
            active_run = self._active.get(number)
        if active_run is not None:
            # Cancelled by a user: do not requeue it, even if the daemon stops first.
            active_run.cancelled_by_user = True
            active_run.cancelled.set()
        return active_run is not None

    def stop(self, timeout: float) -> None:
        """Stop starting runs. Wait up to `timeout` seconds for runs in Deploy and requeue the others.

        A run that has not finished by then is recovered at the next start, as after a crash. If the store cannot be
        read, every run may finish.
        """
        deadline = time.monotonic() + timeout
        self._stopping.set()
        self.wake()
        with self._lock:
            active = list(self._active.values())
        for active_run in active:
            if not self._may_deploy(active_run.run):
                active_run.cancelled.set()
        for active_run in active:
            assert active_run.thread is not None
            active_run.thread.join(max(0.0, deadline - time.monotonic()))

    def deploying(self) -> tuple[int, ...]:
        """Return the runs in Deploy, for which `stop` waits."""
        with self._lock:
            active = [active_run.run for active_run in self._active.values()]
        return tuple(run.number for run in active if self._may_deploy(run))

    def _start_next(self) -> bool:
        context = self._pipeline_context()
        # Under the lock, so that `stop` sees every run that has started.
        with self._lock:
            if self._stopping.is_set():
                return False
            run = context.store.queue.claim(context.pipeline, context.configuration.pipeline.execution_mode)
            if run is None:
                return False
            # As it is after the claim: the configuration may have changed just before the run was queued.
            context = self._pipeline_context()
            active_run = self._active[run.number] = _ActiveRun(run)
            active_run.thread = threading.Thread(
                target=self._execute, args=(context, active_run), name=f"run-{run.number}", daemon=True
            )
            active_run.thread.start()
        return True

    def _recover(self) -> None:
        """Recover runs that could not store their outcome, because the disk was full or Docker was down."""
        context = self._pipeline_context()
        with self._lock:
            active = {active_run.run.number: active_run.run for active_run in self._active.values()}
        if not needs_recovery(context.stage_context(), active) or any(self._deploys(run) for run in active.values()):
            return
        with self._deploy_lock.for_deployment():
            recover(context, active)

    def _emit_blocked(self, text: str) -> None:
        """Emit once per reason why no run can start."""
        if text != self._last_reported:
            self._last_reported = text
            self._pipeline_context().events().emit(EventKind.QUEUE_BLOCKED, f"cannot start runs: {text}")

    def _execute(self, context: PipelineContext, active_run: _ActiveRun) -> None:
        execution = Execution(
            context,
            active_run.run,
            active_run.cancelled,
            deploy_lock=self._deploy_lock.for_deployment,
            interrupted=lambda: self._stopping.is_set() and not active_run.cancelled_by_user,
        )
        structlog.contextvars.bind_contextvars(pipeline=context.pipeline, run=active_run.run.number)
        try:
            execution.execute()
        except PenstockError:
            # The run's row and its events hold the error. If they could not be written, the next poll recovers the run.
            # A command that works off the queue of a stack would print a log entry on top of these.
            pass
        except Exception:
            _logger.exception("internal error in a run")
        finally:
            with suppress(PenstockError):
                prune(context)
            with self._lock:
                del self._active[active_run.run.number]
            self.wake()

    def _stop_superseded(self) -> None:
        with self._lock:
            active = list(self._active.values())
        runs = self._pipeline_context().store.runs
        for active_run in active:
            # None: the run has ended meanwhile, and its row was pruned.
            run = runs.get(active_run.run.pipeline, active_run.run.number)
            if run is not None and run.superseded_by:
                active_run.cancelled.set()

    def _may_deploy(self, run: Run) -> bool:
        try:
            return self._deploys(run)
        except StoreFault as error:
            _logger.warning("cannot read the stages of a run", run=run.number, error=error.message)
            return True

    def _deploys(self, run: Run) -> bool:
        return any(
            stage.name == "deploy" for stage in self._pipeline_context().store.runs.stages(run.pipeline, run.number)
        )
