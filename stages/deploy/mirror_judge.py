"""The judge of a new release that gets copies of requests, and no request of a client."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pipeline.alarms.alarms import Alarms
from pipeline.alarms.condition import RatioCondition, ResponseTimeCondition
from pipeline.alarms.histogram import Histogram
from pipeline.alarms.response_time_alarm import format_seconds
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.verdict import Verdict, percent
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.access import AccessLog
from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Clock
from pipeline.config.mirror import Mirror
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.judge import Judgement
from stages.deploy.mirror_client import CopyOutcome
from stages.deploy.mirror_traffic import CopyPair, MirrorTraffic
from stages.deploy.paired_targets import PairedHealth

# The copies of a look are sent until the next one.
_LOOK_SECONDS = 1.0
_OF_TARGETS = ("http_5xx_ratio", "target_5xx_ratio")
_DEFAULT = RatioCondition(metric="http_5xx_ratio", worse_than_previous=True)
_SHOWN = (0.5, 0.99)


def mirror_conditions(rollback_on: RollbackOn | None) -> RollbackOn:
    """Return the conditions on copies: those of `rollback_on` on ratios and times, and always one on 5XX."""
    settings = rollback_on or RollbackOn(conditions=(_DEFAULT,))
    kept = [c for c in settings.conditions if isinstance(c, RatioCondition | ResponseTimeCondition)]
    if not any(c.metric in _OF_TARGETS for c in kept):
        kept.append(_DEFAULT)
    return settings.model_copy(update={"conditions": tuple(kept)})


class MirrorJudge:
    """Copies requests of the target group `group` from the access log, and evaluates `conditions` on the responses.

    The responses of the previous release are those to its own copies. So they differ from those of the new release by
    the release alone: same headers, same second, same client. The order of both is random, because the first one may
    fill a cache for the second one. For one thread at a time.
    """

    def __init__(
        self,
        settings: Mirror,
        conditions: RollbackOn,
        log: AccessLog,
        group: str,
        traffic: MirrorTraffic,
        health: Callable[[], PairedHealth],
        *,
        clock: Clock,
        events: AlarmEvents,
    ) -> None:
        self._settings = settings
        self._warm_up = conditions.warm_up.total_seconds()
        self._log = log
        self._group = group
        self._traffic = traffic
        self._health = health
        self._clock = clock
        self._events = events
        self._alarms = Alarms(conditions, are_pairs=True)
        self._comparison = _Comparison()
        self._began: float | None = None
        self._looked = 0.0
        self._alarm: str | None = None

    def look(self) -> Judgement:
        """Take the responses since the last call, and copy the requests since then. Too few decide nothing."""
        now = self._clock.monotonic()
        if self._began is None:
            self._log.skip()
            self._began = self._looked = now
        self._take(self._traffic.finished(), timed=now - self._began >= self._warm_up)
        self._copy(min(now - self._looked, _LOOK_SECONDS))
        self._looked = now
        found = (*self._alarms.verdicts(), Verdict("OK", self.summary()))
        verdicts = tuple(replace(each, text=f"copies: {each.text}") for each in found)
        self._events.on_verdicts(verdicts)
        return Judgement(verdicts, self._alarm)

    def summary(self) -> str:
        """Return the number of copies so far, and how the responses of both releases differ."""
        return self._comparison.describe()

    def stop(self) -> None:
        """Send no more copies."""
        self._traffic.stop()

    def _take(self, pairs: Sequence[CopyPair], *, timed: bool) -> None:
        self._comparison.add(pairs)
        for pair in pairs:
            self._alarms.add(_window(pair.new, timed=timed), _window(pair.previous, timed=timed))
        found = [f"alarm: copies: {each.text}" for each in self._alarms.verdicts() if each.state == "ALARM"]
        if self._alarm is None and found:
            # Kept, also if the evidence shrinks later.
            self._alarm = "; ".join(found)

    def _copy(self, seconds: float) -> None:
        room = round(self._settings.max_requests_per_second * seconds)
        chosen = 0

        def choose() -> bool:
            nonlocal chosen
            # A share needs no secret randomness.
            is_chosen = chosen < room and random.random() * 100 < self._settings.percent  # noqa: S311
            chosen += is_chosen
            return is_chosen

        requests = list(self._log.repeatable(self._group, choose))
        new, previous = _healthy(self._health())
        if requests and new and previous:
            self._traffic.send(requests, new, previous, _LOOK_SECONDS)


class _Comparison:
    """What is shown of all copies. It decides nothing."""

    def __init__(self) -> None:
        self._count = self._other_class = 0
        self._new, self._previous = Histogram(), Histogram()

    def add(self, pairs: Sequence[CopyPair]) -> None:
        self._count += len(pairs)
        self._other_class += sum(_status_class(pair.new) != _status_class(pair.previous) for pair in pairs)
        self._new += Histogram.from_times(_times(pair.new for pair in pairs))
        self._previous += Histogram.from_times(_times(pair.previous for pair in pairs))

    def describe(self) -> str:
        if not self._count:
            return "no request was copied"
        differ = f"class of status differs in {percent(self._other_class, self._count)}"
        if not self._new.total or not self._previous.total:
            return differ
        shown = zip(_SHOWN, self._new.quantiles(_SHOWN), self._previous.quantiles(_SHOWN), strict=True)
        times = (f"p{q * 100:g} {format_seconds(new)} against {format_seconds(previous)}" for q, new, previous in shown)
        return f"{differ}, {', '.join(times)}"


def _window(outcome: CopyOutcome, *, timed: bool) -> ReleaseWindow:
    """Return the window of one copy. The balancer would answer with 5XX where a target does not."""
    return ReleaseWindow(
        requests=1,
        target_5xx=int(outcome.status is not None and outcome.status >= 500),
        elb_5xx=int(outcome.status is None),
        connection_errors=int(not outcome.is_connected),
        response_times=Histogram.from_times(_times([outcome])) if timed else Histogram(),
    )


def _times(outcomes: Iterable[CopyOutcome]) -> list[float]:
    return [each.seconds for each in outcomes if each.seconds is not None]


def _status_class(outcome: CopyOutcome) -> int:
    return (outcome.status or 500) // 100


def _healthy(health: PairedHealth) -> tuple[list[Target], list[Target]]:
    """Return the healthy targets of the new release, and those of the previous one."""
    return _targets(health.alternate.values()), _targets(health.home.values())


def _targets(found: Iterable[TargetHealth]) -> list[Target]:
    return [each.target for each in found if each.state is TargetState.HEALTHY]
