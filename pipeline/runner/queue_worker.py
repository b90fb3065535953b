"""Works off the queue of one pipeline: begins what may begin, each run in a thread of its own, and stops what must."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.history import prune
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.run import Execution
from pipeline.store.records import Run

# A run that another process queues is found this much later at most.
_LOOK = timedelta(seconds=2)
_logger = structlog.get_logger(__name__)


@dataclass
class _ActiveRun:
    """A run that is being worked on."""

    run: Run
    cancelled: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False
    thread: threading.Thread | None = None


class QueueWorker:
    """The one that executes a pipeline's queued runs. Its caller holds the pipeline's lock.

    `pipeline_context` is asked for at each run: the served file may have changed.
    """

    def __init__(self, pipeline_context: Callable[[], PipelineContext], deploy_lock: DeployLock, clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._clock = clock
        self._active: dict[int, _ActiveRun] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._last_reported = ""

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def run_forever(self) -> None:
        """Until `stop`. Whatever goes wrong with one run is that run's end, and not ours."""
        while not self._stopping.is_set():
            try:
                self._stop_superseded()
                self._recover()
                while self._begin():
                    pass
                self._last_reported = ""
            except PenstockError as error:
                self._emit_blocked(error.message)
            self._clock.wait(self._wake, _LOOK)
            self._wake.clear()

    def cancel(self, number: int) -> bool:
        """Stop a run that is being worked on. False when it is not."""
        with self._lock:
            active_run = self._active.get(number)
        if active_run is not None:
            # Somebody wants it gone: it does not come back when we end before it has.
            active_run.given_up = True
            active_run.cancelled.set()
        return active_run is not None

    def stop(self, patience: float) -> None:
        """Begin nothing more. What is in Deploy may end, so many seconds long; the rest goes back to the queue.

        What has not ended by then is as after a crash: whoever comes next puts it right.
        """
        deadline = time.monotonic() + patience
        self._stopping.set()
        self.wake()
        with self._lock:
            active = list(self._active.values())
        for active_run in active:
            if not self._deploys(active_run.run):
                active_run.cancelled.set()
        for active_run in active:
            assert active_run.thread is not None
            active_run.thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self) -> bool:
        pipeline_context = self._pipeline_context()
        # With the lock, so that `stop` finds every run that has begun.
        with self._lock:
            if self._stopping.is_set():
                return False
            run = pipeline_context.store.queue.claim(
                pipeline_context.pipeline, pipeline_context.configuration.pipeline.execution_mode
            )
            if run is None:
                return False
            active_run = self._active[run.number] = _ActiveRun(run)
            active_run.thread = threading.Thread(
                target=self._execute, args=(pipeline_context, active_run), name=f"run-{run.number}", daemon=True
            )
            active_run.thread.start()
        return True

    def _recover(self) -> None:
        """Close what a run of ours left open that could not write down its end, with the disk full or Docker away."""
        pipeline_context = self._pipeline_context()
        with self._lock:
            active = {active_run.run.number: active_run.run for active_run in self._active.values()}
        if not needs_recovery(pipeline_context.stage_context(), active) or any(
            self._deploys(run) for run in active.values()
        ):
            return
        with self._deploy_lock.for_deployment():
            recover(pipeline_context, active)

    def _emit_blocked(self, text: str) -> None:
        """Say once why nothing can begin."""
        if text != self._last_reported:
            self._last_reported = text
            self._pipeline_context().events().emit(EventKind.QUEUE_BLOCKED, f"no run can begin: {text}")

    def _execute(self, pipeline_context: PipelineContext, active_run: _ActiveRun) -> None:
        execution = Execution(
            pipeline_context,
            active_run.run,
            active_run.cancelled,
            deploy_lock=self._deploy_lock.for_deployment,
            interrupted=lambda: self._stopping.is_set() and not active_run.given_up,
        )
        structlog.contextvars.bind_contextvars(pipeline=pipeline_context.pipeline, run=active_run.run.number)
        try:
            execution.execute()
        except PenstockError as error:
            # It is in the run's row, and its events have told it; or the next look finds the row open.
            _logger.debug("run failed", error=error.message)
        except Exception:
            _logger.exception("internal error in a run")
        finally:
            with suppress(PenstockError):
                prune(pipeline_context)
            with self._lock:
                del self._active[active_run.run.number]
            self.wake()

    def _stop_superseded(self) -> None:
        with self._lock:
            active = list(self._active.values())
        runs = self._pipeline_context().store.runs
        for active_run in active:
            # None: the run has ended meanwhile, and its row is pruned.
            run = runs.get(active_run.run.pipeline, active_run.run.number)
            if run is not None and run.superseded_by:
                active_run.cancelled.set()

    def _deploys(self, run: Run) -> bool:
        return any(
            stage.name == "deploy" for stage in self._pipeline_context().store.runs.stages(run.pipeline, run.number)
        )
