"""Everything that `pipeline serve` does for one pipeline, from taking it over to letting it go."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from structlog.contextvars import bind_contextvars

from pipeline.base.errors import ConfigError, LockHeld, PenstockError
from pipeline.base.lock import held
from pipeline.daemon.repair_loop import Keeper
from pipeline.daemon.served_file import Served
from pipeline.daemon.trigger_loop import Lookout
from pipeline.runner.deploy_lock import Turn
from pipeline.runner.ownership import claim, refuse_stranger
from pipeline.runner.queue_worker import Conductor
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.ref_tracker import Arrivals
from pipeline.runner.stages import load_source
from pipeline.store.records import Trigger

_RETRY = (0.2, 5.0)
_LONGEST = 60.0
_logger = logging.getLogger(__name__)


class Attendant:
    """One served pipeline: its queue, its triggers, its upkeep. Holds the pipeline's lock while it serves."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._turn = Turn()
        self.conductor = Conductor(lambda: served.workshop, self._turn)
        self._arrivals = Arrivals(lambda: served.workshop, self.conductor.wake)
        self._lookout = self._new_lookout()
        self._keeper = Keeper(lambda: served.workshop, self._turn)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name=f"serve-{served.name}", daemon=True)
        self.ready = threading.Event()

    def start(self) -> None:
        """Begin. What somebody else is doing with the pipeline ends first, and what a crash left is put right."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Begin nothing more, and let a deployment end within so many seconds."""
        deadline = time.monotonic() + patience
        self._stopping.set()
        self._lookout.stop()
        self._keeper.stop()
        self.conductor.stop(patience)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def call(self, trigger: Trigger) -> None:
        """Something may be new in the repository."""
        self._lookout.call(trigger)

    def git_directory(self) -> Path | None:
        """Where the pipeline's repository is on this machine; None elsewhere, or where it is not to be found."""
        try:
            return load_source().git_directory(self.served.workshop.context())
        except PenstockError:
            return None

    def refresh(self, *, forced: bool = False) -> None:
        """Follow the served file where it has changed."""
        if self.served.reload() if forced else self.served.refresh():
            with self._lock:
                former, self._lookout = self._lookout, self._new_lookout()
                former.stop()
                if self.ready.is_set():
                    self._start(self._lookout.work, "lookout")

    def _new_lookout(self) -> Lookout:
        return Lookout(lambda: self.served.workshop, self._arrivals)

    def _serve(self) -> None:
        with ExitStack() as stack:
            if not self._until_done(lambda: self._take_over(stack)) or not self._until_done(self._recover):
                return
            with self._lock:
                threads = [
                    self._start(self._lookout.work, "lookout"),
                    self._start(self._keeper.work, "keeper"),
                    self._start(self.conductor.work, "conductor"),
                ]
                self.ready.set()
            self.served.workshop.events().emit("serve.started", f"served by process {os.getpid()} from now on")
            for thread in threads:
                thread.join()

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._supervise, args=(work, name), name=f"{name}-{self.served.name}")
        thread.daemon = True
        thread.start()
        return thread

    def _supervise(self, work: Callable[[], None], name: str) -> None:
        """What ends by an error is begun again: nobody else would notice that it is gone."""
        bind_contextvars(pipeline=self.served.name)
        pause = _RETRY[0]
        while not self._stopping.is_set():
            try:
                work()
            except Exception as error:
                text = error.message if isinstance(error, PenstockError) else repr(error)
                if not isinstance(error, PenstockError):
                    _logger.exception("the %s ended", name)
                with suppress(PenstockError):
                    self.served.workshop.events().emit("serve.failed", f"the {name} ended, and begins again: {text}")
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST)
            else:
                return

    def _take_over(self, stack: ExitStack) -> None:
        workshop = self.served.workshop
        with ExitStack() as taken:
            lock = held(workshop.home.lock(workshop.pipeline), f"pipeline serve of {workshop.pipeline}")
            taken.enter_context(lock)
            refuse_stranger(workshop.store, workshop.configuration)
            claim(workshop.store, workshop.configuration)
            # Only what is ours for good is kept: the next try takes the lock anew.
            stack.enter_context(taken.pop_all())

    def _recover(self) -> None:
        workshop = self.served.workshop
        if needs_recovery(workshop.context()):
            recover(workshop)

    def _until_done(self, work: Callable[[], None]) -> bool:
        """Try until it goes well, telling each reason once. False when we are to stop first."""
        told, pause = "", _RETRY[0]
        while not self._stopping.is_set():
            try:
                work()
            except PenstockError as error:
                if isinstance(error, ConfigError | LockHeld):
                    pause = _RETRY[0]
                if error.message != told:
                    self.served.workshop.events().emit("serve.waiting", f"not served yet: {error.message}")
                    told = error.message
                self._stopping.wait(pause)
                pause = min(2 * pause, _RETRY[1])
            else:
                return True
        return False
