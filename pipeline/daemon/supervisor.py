"""Everything that `pipeline serve` does for one pipeline, from taking it over to letting it go."""

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
from pipeline.runner.ownership import check_owner, set_owner
from pipeline.runner.queue_worker import QueueWorker
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.ref_tracker import RefTracker
from pipeline.runner.stages import load_source
from pipeline.store.records import Trigger

_TAKE_OVER = Backoff(timedelta(seconds=0.2), timedelta(seconds=5))
_RESTART = Backoff(timedelta(seconds=0.2), timedelta(minutes=1))
_logger = structlog.get_logger(__name__)


class PipelineSupervisor:
    """One served pipeline: its queue, its triggers, its upkeep. Holds the pipeline's lock while it serves."""

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
        """Begin. What somebody else is doing with the pipeline ends first, and what a crash left is put right."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Begin nothing more, and let a deployment end within so many seconds."""
        deadline = time.monotonic() + patience
        self._stopping.set()
        self._trigger_loop.stop()
        self._repair_loop.stop()
        self.queue_worker.stop(patience)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def notify(self, trigger: Trigger) -> None:
        """Something may be new in the repository."""
        self._trigger_loop.notify(trigger)

    def git_directory(self) -> Path | None:
        """Where the pipeline's repository is on this machine; None elsewhere, or where it is not to be found."""
        try:
            return load_source().git_directory(self.served_file.pipeline_context.stage_context())
        except PenstockError:
            return None

    def reload_if_changed(self, *, forced: bool = False) -> None:
        """Follow the served file where it has changed."""
        if self.served_file.reload() if forced else self.served_file.reload_if_changed():
            with self._lock:
                former, self._trigger_loop = self._trigger_loop, self._new_trigger_loop()
                former.stop()
                if self.ready.is_set():
                    self._start(self._trigger_loop.run_forever, "lookout")

    def _new_trigger_loop(self) -> TriggerLoop:
        return TriggerLoop(lambda: self.served_file.pipeline_context, self._ref_tracker, self._clock)

    def _serve(self) -> None:
        with ExitStack() as stack:
            if not self._until_done(lambda: self._take_over(stack)) or not self._until_done(self._recover):
                return
            with self._lock:
                threads = [
                    self._start(self._trigger_loop.run_forever, "lookout"),
                    self._start(self._repair_loop.run_forever, "keeper"),
                    self._start(self.queue_worker.run_forever, "conductor"),
                ]
                self.ready.set()
            self.served_file.pipeline_context.events().emit(
                EventKind.SERVE_STARTED, f"served by process {os.getpid()} from now on"
            )
            for thread in threads:
                thread.join()

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._supervise, args=(work, name), name=f"{name}-{self.served_file.name}")
        thread.daemon = True
        thread.start()
        return thread

    def _supervise(self, work: Callable[[], None], name: str) -> None:
        """What ends by an error is begun again: nobody else would notice that it is gone."""
        structlog.contextvars.bind_contextvars(pipeline=self.served_file.name)
        backoff = _RESTART
        while not self._stopping.is_set():
            try:
                work()
            except Exception as error:
                text = error.message if isinstance(error, PenstockError) else repr(error)
                if not isinstance(error, PenstockError):
                    _logger.exception("thread failed", thread=name)
                with suppress(PenstockError):
                    self.served_file.pipeline_context.events().emit(
                        EventKind.SERVE_FAILED, f"the {name} ended, and begins again: {text}"
                    )
                self._clock.wait(self._stopping, backoff.delay())
                backoff = backoff.after(succeeded=False)
            else:
                return

    def _take_over(self, stack: ExitStack) -> None:
        pipeline_context = self.served_file.pipeline_context
        with ExitStack() as taken:
            lock = work_lock(
                pipeline_context.home.lock(pipeline_context.pipeline), f"pipeline serve of {pipeline_context.pipeline}"
            )
            taken.enter_context(lock)
            check_owner(pipeline_context.store, pipeline_context.configuration)
            set_owner(pipeline_context.store, pipeline_context.configuration)
            # Only what is ours for good is kept: the next try takes the lock anew.
            stack.enter_context(taken.pop_all())

    def _recover(self) -> None:
        pipeline_context = self.served_file.pipeline_context
        if needs_recovery(pipeline_context.stage_context()):
            recover(pipeline_context)

    def _until_done(self, work: Callable[[], None]) -> bool:
        """Try until it goes well, telling each reason once. False when we are to stop first."""
        told, backoff = "", _TAKE_OVER
        while not self._stopping.is_set():
            try:
                work()
            except PenstockError as error:
                if isinstance(error, ConfigError | LockHeld):
                    backoff = _TAKE_OVER
                if error.message != told:
                    self.served_file.pipeline_context.events().emit(
                        EventKind.SUPERVISOR_BLOCKED, f"not served yet: {error.message}"
                    )
                    told = error.message
                self._clock.wait(self._stopping, backoff.delay())
                backoff = backoff.after(succeeded=False)
            else:
                return True
        return False
