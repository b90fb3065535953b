"""Repair of drift: a check each second, and a backoff after a repair that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from pipeline.api import Drift
from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import Cancelled, PenstockError
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.stages import load_deployer

# A failed repair is retried after 2, 4, 8 … seconds.
_BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=5))
_logger = structlog.get_logger(__name__)


class RepairLoop:
    """Repairs the drift of one pipeline, in a thread. A deployment preempts it."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], deploy_lock: DeployLock, clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._clock = clock
        self._stopping = threading.Event()
        self._drift_context: PipelineContext | None = None
        self._drift: Drift | None = None
        self._last_reported: list[str] = []
        self._backoff = _BACKOFF

    def run_forever(self) -> None:
        """Run until `stop`."""
        while not self._clock.wait(self._stopping, self._backoff.delay()):
            try:
                self.run_once()
            except Exception:
                self._backoff = self._backoff.after(succeeded=False)
                _logger.exception("internal error in a repair")
        if self._drift is not None:
            self._drift.close()

    def stop(self) -> None:
        """Request the end of `run_forever`. Returns immediately."""
        self._stopping.set()

    def run_once(self) -> None:
        """Check for drift once and repair it. Does nothing during a deployment."""
        context = self._pipeline_context()
        events = context.events()
        with self._deploy_lock.try_for_repair() as preempted:
            if preempted is None:
                return
            try:
                drift = self._drift_of(context, events)
                findings = drift.findings()
            except PenstockError as error:
                self._emit_blind(events, f"cannot check for drift: {context.mask(error.message)}")
            else:
                self._repair(drift, findings, events, preempted)

    def _emit_blind(self, events: Events, text: str) -> None:
        """Emit a failed check once per reason. The next check is not delayed: Docker may be back in a second."""
        if text not in self._last_reported:
            events.emit(EventKind.RECONCILE_FAILED, text)
            self._last_reported = [text]

    def _repair(self, drift: Drift, findings: list[str], events: Events, preempted: threading.Event) -> None:
        for text in findings:
            if text not in self._last_reported:
                events.emit(EventKind.RECONCILE_DRIFT, text)
        try:
            if findings:
                self._last_reported = findings
                drift.repair(preempted)
            if self._last_reported:
                events.emit(EventKind.RECONCILE_REPAIRED, "repaired, no drift left")
            self._last_reported, self._backoff = [], _BACKOFF
        except Cancelled:
            events.emit(EventKind.RECONCILE_PREEMPTED, "stopped the repair for a deployment")
        except PenstockError as error:
            self._backoff = self._backoff.after(succeeded=False)
            text = self._pipeline_context().mask(error.message)
            events.emit(EventKind.RECONCILE_FAILED, f"{text}; retrying in {self._backoff.delay().total_seconds():g} s")

    def _drift_of(self, context: PipelineContext, events: Events) -> Drift:
        """Return the drift of the current configuration. It is re-created when the file was reloaded."""
        if self._drift is None or self._drift_context is not context:
            if self._drift is not None:
                self._drift.close()
            stage_context = context.stage_context(events)
            self._drift, self._drift_context = load_deployer(stage_context).drift(stage_context), context
        return self._drift
