"""Repair of drift: a check after each event of the engine or the balancer, and a backoff after a failed repair.

What is found within which time:

- A container or target that the engine or the data plane reports as gone, stopped, restarted, unhealthy or healthy: at
  once. The report of the check is written within 50 ms of the event.
- Drift that no event reports: within a minute, by a check that needs no event.
- Everything: within a second while the streams of events are interrupted, the last check has failed, a target is not
  healthy, or a deployment has preempted the check. So a lost event can only delay what begins while all is well. The
  stream of a host that is lost does not count: it reports that the host is back.

After a repair that failed no event shortens the backoff, because the repair itself makes events.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta

import structlog

from pipeline.api import Drift
from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import Cancelled, PenstockError
from pipeline.engine.interfaces import ReplicaChange
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.runner.stages import load_deployer
from pipeline.scaling.renumbering import is_renumbering

# A failed repair is retried after 2, 4, 8 … seconds.
_BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=5))
# After an event. Docker reports the exit of a container some time before its list shows it. And a container that a user
# has stopped is replaced only if nobody starts it again within three quarters of a second.
_DELAYS = tuple(timedelta(milliseconds=number) for number in (10, 40, 150, 600))
# Finds what no event reports.
_BACKSTOP_INTERVAL = timedelta(minutes=1)
_logger = structlog.get_logger(__name__)


class RepairLoop:
    """Repairs the drift of one pipeline. A deployment and scaling preempt it. One thread at a time calls `step`.

    `has_events` returns whether each change of containers and targets leads to a call of `step`, while these hosts are
    lost. Without events, the checks follow each second.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        deploy_lock: DeployLock,
        clock: Clock,
        has_events: Callable[[Collection[str]], bool] = lambda _: False,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._deploy_lock = deploy_lock
        self._clock = clock
        self._has_events = has_events
        self._drift_context: PipelineContext | None = None
        self._drift: Drift | None = None
        self._last_reported: list[str] = []
        self._backoff = _BACKOFF
        self._not_before = 0.0
        self._is_stable = False
        self._lost: Collection[str] = ()
        self._notified = threading.Event()
        self._is_renumbered = False
        self._exits = deque[ReplicaChange]()
        self._attempts = len(_DELAYS)

    def notify(self, change: ReplicaChange | None = None) -> None:
        """Tell that something has changed. `step` is due now, and a few times soon after. Safe from any thread."""
        if change is not None and change.exit_code is not None:
            self._exits.append(change)
        self._notified.set()

    def renumber(self) -> None:
        """Stop a repair towards a previous number of replicas, which may wait for a drain. Safe from any thread.

        `step` is due now.
        """
        self._is_renumbered = True
        self._deploy_lock.preempt_repair()
        self.notify()

    def step(self) -> timedelta:
        """Check for drift and repair it, and return the time until the next call if no event comes before."""
        now = self._clock.monotonic()
        if self._backoff.failures and now < self._not_before:
            return timedelta(seconds=self._not_before - now)
        if self._notified.is_set():
            self._notified.clear()
            self._attempts = 0
        # Before the check: if the events are interrupted meanwhile, the next check follows in a second.
        has_events, self._is_stable = self._has_events(self._lost), False
        try:
            self.run_once()
        except Exception:
            self._backoff = self._backoff.after(succeeded=False)
            _logger.exception("internal error in a repair")
        delay = self._backoff.delay()
        self._not_before = self._clock.monotonic() + delay.total_seconds()
        if not self._backoff.failures and self._attempts < len(_DELAYS):
            self._attempts += 1
            return _DELAYS[self._attempts - 1]
        return _BACKSTOP_INTERVAL if self._is_stable and has_events and self._has_events(self._lost) else delay

    def close(self) -> None:
        """Close the connections. No step may run."""
        if self._drift is not None:
            self._drift.close()
            self._drift = None

    def run_once(self) -> None:
        """Check for drift once and repair it. Does nothing during a deployment."""
        context = self._pipeline_context()
        events = context.events()
        with self._deploy_lock.try_for_repair() as preempted:
            if preempted is None:
                # The deployment itself stops replicas.
                self._exits.clear()
                return
            try:
                drift = self._drift_of(context, events)
                self._pass_exits(drift)
                findings = drift.findings()
                self._lost = drift.lost()
            except PenstockError as error:
                self._emit_blind(events, f"cannot check for drift: {context.mask(error.message)}")
            else:
                self._repair(drift, findings, events, preempted)
                if findings:
                    # The repair has stopped replicas.
                    self._exits.clear()

    def _pass_exits(self, drift: Drift) -> None:
        with suppress(IndexError):
            while True:
                change = self._exits.popleft()
                drift.exited(change.replica, change.exit_code or 0)

    def _emit_blind(self, events: Events, text: str) -> None:
        """Emit a failed check once per reason. The next check is not delayed: Docker may be back in a second."""
        if text not in self._last_reported:
            events.emit(EventKind.RECONCILE_FAILED, text)
            self._last_reported = [text]

    def _repair(self, drift: Drift, findings: list[str], events: Events, preempted: threading.Event) -> None:
        for text in findings:
            if text not in self._last_reported:
                events.emit(EventKind.RECONCILE_DRIFT, text)
        self._is_renumbered = False
        try:
            if findings:
                self._last_reported = findings
                drift.repair(preempted)
            if self._last_reported:
                done = "scaled" if all(map(is_renumbering, self._last_reported)) else "repaired"
                events.emit(EventKind.RECONCILE_REPAIRED, f"{done}, no drift left")
            self._last_reported, self._backoff = [], _BACKOFF
            self._is_stable = not findings and drift.is_stable()
        except Cancelled:
            reason = "another number of replicas" if self._is_renumbered else "a deployment"
            events.emit(EventKind.RECONCILE_PREEMPTED, f"stopped the repair for {reason}")
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
