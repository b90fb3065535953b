"""The simulation: requests go to replicas, and the controller changes their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import heapreplace

from pipeline.base.clock import Stamp
from pipeline.scaling.controller import decide
from pipeline.scaling.observation import Observation, ScalingState
from pipeline.scaling.percentile import percentile
from pipeline.scaling.policy import ScalingPolicy
from pipeline.scaling.simulation.fleet import Fleet
from pipeline.scaling.simulation.model import Change, Period, ServiceModel, SimulationResult

_MINUTE = 60
_BOOT = "simulation"
_ANY_DAY = datetime(2026, 1, 5, tzinfo=UTC)
Request = tuple[float, float]
"""The time of arrival in seconds since the begin, and the seconds of work that the request is for a replica."""


def simulate(
    requests: Iterable[Request],
    policy: ScalingPolicy,
    model: ServiceModel,
    *,
    initial: int | None = None,
    start: datetime = _ANY_DAY,
    zone: tzinfo = UTC,
    period: int = _MINUTE,
) -> SimulationResult:
    """Simulate a policy. `requests` are in the order of their arrival.

    It begins with `initial` replicas, by default `min`, at the time `start`, which the scheduled actions need. The same
    arguments give the same result, which has a value for each `period` of some control intervals, in seconds.
    """
    count = policy.min if initial is None else initial
    return _Simulation(model, count, policy, start=start, zone=zone, period=period).run(requests)


def simulate_fixed(requests: Iterable[Request], count: int, model: ServiceModel) -> SimulationResult:
    """Simulate a fixed number of replicas, at least 1."""
    return _Simulation(model, count, None).run(requests)


class _Simulation:
    def __init__(
        self,
        model: ServiceModel,
        count: int,
        policy: ScalingPolicy | None,
        *,
        start: datetime = _ANY_DAY,
        zone: tzinfo = UTC,
        period: int = _MINUTE,
    ) -> None:
        self._model, self._policy = model, policy
        self._start, self._zone = start, zone
        self._seconds = period
        self._fleet = Fleet(model, count)
        self._state = ScalingState()
        # Response times and work of the requests that end in each control interval.
        self._ended: dict[int, list[float]] = defaultdict(list)
        self._work: dict[int, float] = defaultdict(float)
        self._held: list[Request] = []
        self._in_flight = 0
        self._arrived = self._rejected = 0
        self._tick = 0
        self._turn = 0
        self._period_ended: list[float] = []
        self._period_arrived = self._period_rejected = 0
        self._periods: list[Period] = []
        self._changes: list[Change] = []

    def run(self, requests: Iterable[Request]) -> SimulationResult:
        until, interval, max_wait = self._next_event(), self._model.control_interval, self._model.max_wait
        avoids_busy = self._model.algorithm == "least_outstanding_requests"
        serving, ended, work, place = self._fleet.serving, self._ended, self._work, heapreplace
        for request in requests:
            arrival, service = request
            while arrival >= until:
                self._advance(until)
                until = self._next_event()
            self._arrived += 1
            if not serving:
                self._hold(request)
                until = self._next_event()
                continue
            # The same as `_place`, without a call, which would take a third of the time.
            self._turn += 1
            slots = serving[self._turn % len(serving)]
            begin = slots[0]
            if begin < arrival:
                begin = arrival
            elif avoids_busy or begin - arrival > max_wait:
                # The replica that is free first: its list is the least one.
                slots = min(serving) if avoids_busy else slots
                begin = max(slots[0], arrival)
                if begin - arrival > max_wait:
                    self._rejected += 1
                    continue
            end = begin + service
            place(slots, end)
            tick = int(end // interval)
            ended[tick].append(end - arrival)
            work[tick] += service
        return self._finish()

    def _place(self, request: Request, earliest: float) -> None:
        arrival, service = request
        self._turn += 1
        slots = self._fleet.serving[self._turn % len(self._fleet.serving)]
        begin = max(slots[0], earliest)
        if begin - arrival > self._model.max_wait:
            self._rejected += 1
            return
        end = begin + service
        heapreplace(slots, end)
        tick = int(end // self._model.control_interval)
        self._ended[tick].append(end - arrival)
        self._work[tick] += service

    def _hold(self, request: Request) -> None:
        """Keep a request until a replica is ready. The first one wakes the controller."""
        self._held.append(request)
        if self._fleet.count == 0:
            self._decide(request[0], seconds=float(self._model.control_interval), ended=[], work=0.0)

    def _next_event(self) -> float:
        return min(float((self._tick + 1) * self._model.control_interval), self._fleet.next_ready)

    def _advance(self, now: float) -> None:
        self._admit(now)
        if now >= (self._tick + 1) * self._model.control_interval:
            self._end_interval(now)

    def _admit(self, now: float) -> None:
        if self._fleet.next_ready > now:
            return
        self._fleet.admit(now)
        held, self._held = self._held, []
        for request in held:
            self._place(request, now)

    def _end_interval(self, now: float) -> None:
        ended, work = self._ended.pop(self._tick, []), self._work.pop(self._tick, 0.0)
        self._tick += 1
        self._decide(now, seconds=float(self._model.control_interval), ended=ended, work=work)
        self._in_flight += self._arrived - self._rejected - len(ended)
        self._period_ended += ended
        self._period_arrived += self._arrived
        self._period_rejected += self._rejected
        self._arrived = self._rejected = 0
        if self._tick * self._model.control_interval % self._seconds == 0:
            self._end_period()

    def _end_period(self) -> None:
        times = sorted(self._period_ended)
        self._periods.append(
            Period(
                start=len(self._periods) * self._seconds,
                requests=self._period_arrived,
                replicas=self._fleet.count,
                serving=len(self._fleet.serving),
                in_flight=self._in_flight,
                rejected=self._period_rejected,
                p50=percentile(times, 0.5),
                p99=percentile(times, 0.99),
            )
        )
        self._period_ended, self._period_arrived, self._period_rejected = [], 0, 0

    def _decide(self, now: float, *, seconds: float, ended: list[float], work: float) -> None:
        if self._policy is None:
            return
        serving, target = len(self._fleet.serving), self._policy.target
        needs_time = target is not None and target.response_time_p90 is not None
        seen = Observation(
            at=Stamp(self._start + timedelta(seconds=now), _BOOT, now),
            count=self._fleet.count,
            serving=serving,
            starting=self._fleet.starting,
            requests=self._arrived * _MINUTE / seconds,
            connections=self._in_flight + self._arrived - self._rejected - len(ended),
            cpu=min(100.0, 100 * work / (seconds * serving * self._model.concurrency)) if serving else None,
            response_time=percentile(sorted(ended), 0.9) if needs_time else None,
            zone=self._zone,
        )
        decision = decide(self._policy, self._state, seen)
        self._state = decision.state
        if decision.count != seen.count:
            self._changes.append(Change(now, seen.count, decision.count, decision.reason))
            self._fleet.set_count(decision.count, now)

    def _finish(self) -> SimulationResult:
        """Continue to the end of the last period, and count requests that end later there."""
        end = (len(self._periods) + 1) * self._seconds
        while self._next_event() < end or self._held:
            self._advance(self._next_event())
            end = (len(self._periods) + 1) * self._seconds
        self._admit(float(end))
        for later in sorted(tick for tick in self._ended if tick > self._tick):
            self._ended[self._tick] += self._ended.pop(later)
        self._advance(float(end))
        return SimulationResult(
            periods=self._periods, changes=self._changes, replica_seconds=self._fleet.seconds(float(end))
        )
