"""The judge of a service with `rollback_on`: its alarms, fed by the access log, the balancer and the runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain

from pipeline.alarms.alarms import Alarms
from pipeline.alarms.decision import decide
from pipeline.alarms.probe_alarm import Measurement
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.access import AccessLog
from pipeline.base.clock import Clock
from pipeline.base.errors import BalancerFault, Cancelled, EngineFault
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.judge import Judgement
from stages.deploy.probes import Probes
from stages.deploy.release_windows import ReleaseTraffic, ReleaseWindows, WindowPair

# A process that continues after a kill reads the records of hours. Meanwhile its deployment watches nothing else.
_MAX_LOOK_SECONDS = 0.5


class AlarmJudge:
    """Evaluates the conditions of `rollback_on` since the new release first received traffic.

    The first look calls `start`, which returns that time. `unhealthy` returns the number of its targets that fail their
    health check now, and `restarts` how often its containers have exited so far. `cancelled` ends a look,
    which raises `Cancelled`. For one thread at a time.
    """

    def __init__(
        self,
        settings: RollbackOn,
        traffic: ReleaseTraffic,
        log: AccessLog,
        *,
        start: Callable[[], datetime],
        clock: Clock,
        probes: Probes,
        events: AlarmEvents,
        unhealthy: Callable[[], int] = lambda: 0,
        restarts: Callable[[], int] = lambda: 0,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._settings = settings
        self._traffic = traffic
        self._log = log
        self._clock = clock
        self._probes = probes
        self._events = events
        self._cancelled = cancelled or threading.Event()
        self._unhealthy, self._restarts = _Latest(unhealthy), _Latest(restarts)
        self._alarms = Alarms(settings)
        self._start = start
        self._windows: ReleaseWindows | None = None
        self._unread: Iterator[WindowPair] | None = None
        self._latest: WindowPair | None = None
        self._counted_restarts = 0
        self._alarm: str | None = None
        self._verdicts = self._alarms.verdicts()

    def look(self) -> Judgement:
        """Take the records since the last call, or as many as half a second allows, and return the verdicts."""
        try:
            windows = self._windows = self._windows or self._begin()
        except (BalancerFault, EngineFault):
            # The next look tries again. A lasting fault ends the deployment elsewhere.
            return self._judgement()
        if self._unread is None:
            requests, now = self._log.forwarded(self._traffic.groups), self._clock.now().wall
            self._unread = chain(windows.add(requests), windows.advance(now))
        if self._take_all(self._unread):
            self._unread = None
            self._take_latest()
        self._events.on_verdicts(self._verdicts, self._log.unreadable)
        return self._judgement()

    def _judgement(self) -> Judgement:
        settings = self._settings.insufficient_data
        return Judgement(self._verdicts, self._alarm, settings, is_complete=self._unread is None)

    def _take_all(self, pairs: Iterator[WindowPair]) -> bool:
        """Take windows but for the latest one. Return False if the time of this look was over before."""
        end = self._clock.monotonic() + _MAX_LOOK_SECONDS
        for pair in pairs:
            if self._latest:
                self._take(self._latest)
            self._latest = pair
            if self._cancelled.is_set():
                raise Cancelled("cancelled")
            if self._clock.monotonic() >= end:
                return False
        return True

    def _take_latest(self) -> None:
        """Take the latest window, with what no record tells."""
        if self._latest:
            new, previous = self._latest
            self._latest = None
            self._take((self._with_counts(new), previous), self._probes.take())

    def _begin(self) -> ReleaseWindows:
        start = self._start()
        self._log.rewind(start)
        return ReleaseWindows(self._traffic, start, self._settings.warm_up)

    def _take(self, pair: WindowPair, measurements: Mapping[int, Measurement] | None = None) -> None:
        """Take a window, and keep an alarm that it raises, also if the evidence shrinks later."""
        self._alarms.add(*pair, measurements or {})
        self._verdicts = self._alarms.verdicts()
        if self._alarm is None:
            decision = decide(self._verdicts, self._settings.insufficient_data, bake_time_over=False)
            self._alarm = "; ".join(decision.reasons) if decision.action == "rollback" else None

    def _with_counts(self, new: ReleaseWindow) -> ReleaseWindow:
        """Return a window with what no record tells: the unhealthy targets, and the restarts since the last window."""
        restarts = max(self._restarts.value() - self._counted_restarts, 0)
        self._counted_restarts += restarts
        return replace(new, unhealthy_targets=self._unhealthy.value(), restarts=restarts)


class _Latest:
    """The latest number that could be read."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._value = 0

    def value(self) -> int:
        # While HAProxy or Docker restarts, nothing new is known. A lasting fault ends the deployment elsewhere.
        with suppress(BalancerFault, EngineFault):
            self._value = self._read()
        return self._value
