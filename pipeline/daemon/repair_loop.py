"""Keeps what is deployed in service: looks every second, mends what is amiss, and tries again after a while."""

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

# What could not be repaired is tried again after 2, 4, 8 … seconds.
_BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=5))
_logger = structlog.get_logger(__name__)


class RepairLoop:
    """The upkeep of one pipeline, in a thread. Gives way to deployments."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], deploy_lock: DeployLock, clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._clock = clock
        self._stopping = threading.Event()
        self._known: PipelineContext | None = None
        self._drift: Drift | None = None
        self._told: list[str] = []
        self._backoff = _BACKOFF

    def run_forever(self) -> None:
        """Until `stop`."""
        while not self._clock.wait(self._stopping, self._backoff.delay()):
            try:
                self.look()
            except Exception:
                self._backoff = self._backoff.after(succeeded=False)
                _logger.exception("internal error in a repair")
        if self._drift is not None:
            self._drift.close()

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    def look(self) -> None:
        """Look once, and mend what is amiss if nobody deploys."""
        pipeline_context = self._pipeline_context()
        events = pipeline_context.events()
        with self._deploy_lock.try_for_repair() as given_up:
            if given_up is None:
                return
            try:
                upkeep = self._of(pipeline_context, events)
                findings = upkeep.findings()
            except PenstockError as error:
                self._tell_blind(events, f"cannot see what is deployed: {pipeline_context.mask(error.message)}")
            else:
                self._keep(upkeep, findings, events, given_up)

    def _tell_blind(self, events: Events, text: str) -> None:
        """Told once: Docker may be away for a night. It is looked for as often as ever."""
        if text not in self._told:
            events.emit(EventKind.RECONCILE_FAILED, text)
            self._told = [text]

    def _keep(self, upkeep: Drift, findings: list[str], events: Events, given_up: threading.Event) -> None:
        for text in findings:
            if text not in self._told:
                events.emit(EventKind.RECONCILE_DRIFT, text)
        try:
            if findings:
                self._told = findings
                upkeep.repair(given_up)
            if self._told:
                events.emit(EventKind.RECONCILE_REPAIRED, "everything is as it should be again")
            self._told, self._backoff = [], _BACKOFF
        except Cancelled:
            events.emit(EventKind.RECONCILE_PREEMPTED, "gives way to a deployment")
        except PenstockError as error:
            self._backoff = self._backoff.after(succeeded=False)
            text = self._pipeline_context().mask(error.message)
            events.emit(
                EventKind.RECONCILE_FAILED, f"{text}; tried again in {self._backoff.delay().total_seconds():g} s"
            )

    def _of(self, pipeline_context: PipelineContext, events: Events) -> Drift:
        """The upkeep of the served file as it is now."""
        if self._drift is None or self._known is not pipeline_context:
            if self._drift is not None:
                self._drift.close()
            self._drift, self._known = load_deployer().drift(pipeline_context.stage_context(events)), pipeline_context
        return self._drift
