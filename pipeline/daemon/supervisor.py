"""The threads of one pipeline in the daemon: start, restart and stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import structlog

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError, LockHeld, PenstockError
from pipeline.base.lock import work_lock
from pipeline.daemon.repair_loop import RepairLoop
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.trigger_loop import TriggerLoop
from pipeline.event_kinds import EventKind
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.outcome import emit_missing_outcomes
from pipeline.runner.ownership import check_owner, set_owner
from pipeline.runner.queue_worker import QueueWorker
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.stages import load_source
from pipeline.store.records import Trigger

_LOCK_BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(seconds=5))
_RESTART_BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(minutes=1))
_logger = structlog.get_logger(__name__)


class PipelineSupervisor:
    """Runs the queue worker, the trigger loop and the repair loop of one pipeline. Holds the pipeline's lock."""

    def __init__(self, served_file: ServedFile, clock: Clock) -> None:
        self.served_file = served_file
        self._clock = clock
        self._deploy_lock = DeployLock()
        self.queue_worker = QueueWorker(lambda: served_file.pipeline_context, self._deploy_lock, clock)
        self._ref_tracker = RefTracker(lambda: served_file.pipeline_context, self.queue_worker.wake)
        self._trigger_loop = self._new_trigger_loop()
        self._repair_loop = RepairLoop(lambda: served_file.pipeline_context, self._deploy_lock, clock)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name=f"serve-{served_file.name}", daemon=True)
        self.ready = threading.Event()

    def start(self) -> None:
        """Start the thread that waits for the pipeline's lock, recovers after a crash, and starts the others."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop all threads. A deployment may finish within `timeout` seconds.

        Safe to repeat, and to call before `start`.
        """
        deadline = time.monotonic() + timeout
        self._stopping.set()
        self._trigger_loop.stop()
        self._repair_loop.stop()
        self.queue_worker.stop(timeout)
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def notify(self, trigger: Trigger) -> None:
        """Request a scan of the refs."""
        self._trigger_loop.notify(trigger)

    def git_directory(self) -> Path | None:
        """Return the pipeline's repository on this machine. None if it is remote or does not exist."""
        try:
            context = self.served_file.pipeline_context.stage_context()
            return load_source(context.configuration).git_directory(context)
        except PenstockError:
            return None

    def reload_if_changed(self, *, forced: bool = False) -> None:
        """Reload the file if it changed, or always if `forced`. The trigger loop is restarted after a reload."""
        if self.served_file.reload() if forced else self.served_file.reload_if_changed():
            with self._lock:
                previous, self._trigger_loop = self._trigger_loop, self._new_trigger_loop()
                previous.stop()
                if self.ready.is_set():
                    self._start(self._trigger_loop.run_forever, "trigger loop")

    def _new_trigger_loop(self) -> TriggerLoop:
        return TriggerLoop(lambda: self.served_file.pipeline_context, self._ref_tracker, self._clock)

    def _serve(self) -> None:
        with ExitStack() as stack:
            if not self._until_done(lambda: self._take_over(stack)) or not self._until_done(self._recover):
                return
            # First: `pipeline status` takes the drift that was found before this event for that of an earlier daemon.
            events = self.served_file.pipeline_context.events()
            events.emit(EventKind.SERVE_STARTED, f"managed by daemon (pid {os.getpid()})")
            with self._lock:
                threads = [
                    self._start(self._trigger_loop.run_forever, "trigger loop"),
                    self._start(self._repair_loop.run_forever, "repair loop"),
                    self._start(self.queue_worker.run_forever, "queue worker"),
                ]
                self.ready.set()
            for thread in threads:
                thread.join()

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._supervise, args=(work, name), name=f"{name}-{self.served_file.name}")
        thread.daemon = True
        thread.start()
        return thread

    def _supervise(self, work: Callable[[], None], name: str) -> None:
        """Call `work` until it returns without an error, with a backoff in between."""
        structlog.contextvars.bind_contextvars(pipeline=self.served_file.name)
        backoff = _RESTART_BACKOFF
        while not self._stopping.is_set():
            try:
                work()
            except Exception as error:
                text = error.message if isinstance(error, PenstockError) else repr(error)
                if not isinstance(error, PenstockError):
                    _logger.exception("thread failed", thread=name)
                with suppress(PenstockError):
                    self.served_file.pipeline_context.events().emit(
                        EventKind.SERVE_FAILED, f"{name} failed, restarting: {text}"
                    )
                self._clock.wait(self._stopping, backoff.delay())
                backoff = backoff.after(succeeded=False)
            else:
                return

    def _take_over(self, stack: ExitStack) -> None:
        context = self.served_file.pipeline_context
        with ExitStack() as taken:
            lock = work_lock(context.home.lock(context.pipeline), f"pipeline serve of {context.pipeline}")
            taken.enter_context(lock)
            check_owner(context.store, context.configuration)
            set_owner(context.store, context.configuration)
            # Keep the lock only after all checks passed. Otherwise it is released, and the next attempt takes it again.
            stack.enter_context(taken.pop_all())

    def _recover(self) -> None:
        context = self.served_file.pipeline_context
        emit_missing_outcomes(context)
        if needs_recovery(context.stage_context()):
            recover(context)

    def _until_done(self, work: Callable[[], None]) -> bool:
        """Retry `work` until it succeeds. Emits each reason once. Return False if `stop` comes first."""
        last_reported, backoff = "", _LOCK_BACKOFF
        while not self._stopping.is_set():
            try:
                work()
            except PenstockError as error:
                if isinstance(error, ConfigError | LockHeld):
                    backoff = _LOCK_BACKOFF
                if error.message != last_reported:
                    self.served_file.pipeline_context.events().emit(
                        EventKind.SUPERVISOR_BLOCKED, f"not managed yet: {error.message}"
                    )
                    last_reported = error.message
                self._clock.wait(self._stopping, backoff.delay())
                backoff = backoff.after(succeeded=False)
            else:
                return True
        return False
