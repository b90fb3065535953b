"""Works off the queue of one pipeline: begins what may begin, each run in a thread of its own, and stops what must."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from structlog.contextvars import bind_contextvars

from pipeline.base.errors import PenstockError
from pipeline.runner.context import Workshop
from pipeline.runner.deploy_lock import Turn
from pipeline.runner.history import prune
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.run import Execution
from pipeline.store.records import Run

# What another process writes into the queue is seen this many seconds later at most.
_LOOK = 2.0
_logger = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A run that is being worked on."""

    run: Run
    cancelled: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False
    thread: threading.Thread | None = None


class Conductor:
    """The one that executes a pipeline's queued runs. Its caller holds the pipeline's lock.

    `workshop` is asked for at each run: the served file may have changed.
    """

    def __init__(self, workshop: Callable[[], Workshop], turn: Turn) -> None:
        self._workshop = workshop
        self._turn = turn
        self._workers: dict[int, _Worker] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._complaint = ""

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def work(self) -> None:
        """Until `stop`. Whatever goes wrong with one run is that run's end, and not ours."""
        while not self._stopping.is_set():
            try:
                self._stop_superseded()
                self._recover()
                while self._begin():
                    pass
                self._complaint = ""
            except PenstockError as error:
                self._complain(error.message)
            self._wake.wait(_LOOK)
            self._wake.clear()

    def cancel(self, number: int) -> bool:
        """Stop a run that is being worked on. False when it is not."""
        with self._lock:
            worker = self._workers.get(number)
        if worker is not None:
            # Somebody wants it gone: it does not come back when we end before it has.
            worker.given_up = True
            worker.cancelled.set()
        return worker is not None

    def stop(self, patience: float) -> None:
        """Begin nothing more. What is in Deploy may end, so many seconds long; the rest goes back to the queue.

        What has not ended by then is as after a crash: whoever comes next puts it right.
        """
        deadline = time.monotonic() + patience
        self._stopping.set()
        self.wake()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            if not self._deploys(worker.run):
                worker.cancelled.set()
        for worker in workers:
            assert worker.thread is not None
            worker.thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self) -> bool:
        workshop = self._workshop()
        # With the lock, so that `stop` finds every run that has begun.
        with self._lock:
            if self._stopping.is_set():
                return False
            run = workshop.store.queue.claim(workshop.pipeline, workshop.configuration.pipeline.execution_mode)
            if run is None:
                return False
            worker = self._workers[run.number] = _Worker(run)
            worker.thread = threading.Thread(
                target=self._execute, args=(workshop, worker), name=f"run-{run.number}", daemon=True
            )
            worker.thread.start()
        return True

    def _recover(self) -> None:
        """Close what a run of ours left open that could not write down its end, with the disk full or Docker away."""
        workshop = self._workshop()
        with self._lock:
            workers = {worker.run.number: worker.run for worker in self._workers.values()}
        if not needs_recovery(workshop.context(), workers) or any(self._deploys(run) for run in workers.values()):
            return
        with self._turn.deploy():
            recover(workshop, workers)

    def _complain(self, text: str) -> None:
        """Say once why nothing can begin."""
        if text != self._complaint:
            self._complaint = text
            self._workshop().events().emit("serve.waiting", f"no run can begin: {text}")

    def _execute(self, workshop: Workshop, worker: _Worker) -> None:
        execution = Execution(
            workshop,
            worker.run,
            worker.cancelled,
            turn=self._turn.deploy,
            interrupted=lambda: self._stopping.is_set() and not worker.given_up,
        )
        bind_contextvars(pipeline=workshop.pipeline, run=worker.run.number)
        try:
            execution.work()
        except PenstockError as error:
            # It is in the run's row, and its events have told it; or the next look finds the row open.
            _logger.debug("%s", error.message)
        except Exception:
            _logger.exception("a fault of Penstock itself")
        finally:
            with suppress(PenstockError):
                prune(workshop)
            with self._lock:
                del self._workers[worker.run.number]
            self.wake()

    def _stop_superseded(self) -> None:
        with self._lock:
            workers = list(self._workers.values())
        queue = self._workshop().store.queue
        for worker in workers:
            if not worker.cancelled.is_set() and queue.run(worker.run.pipeline, worker.run.number).superseded_by:
                worker.cancelled.set()

    def _deploys(self, run: Run) -> bool:
        return any(stage.name == "deploy" for stage in self._workshop().store.stages(run.pipeline, run.number))
