"""All alarms of a deployment."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.alarms.condition import (
    CommandCondition,
    CountCondition,
    PromqlCondition,
    RatioCondition,
    ResponseTimeCondition,
)
from pipeline.alarms.count_alarm import CountAlarm
from pipeline.alarms.probe_alarm import Measurement, ProbeAlarm
from pipeline.alarms.ratio_alarm import RatioAlarm
from pipeline.alarms.response_time_alarm import PercentileAlarm, ResponseTimeAlarm
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.stratum import Stratum
from pipeline.alarms.verdict import EvidenceLimit, Verdict
from pipeline.alarms.window import ReleaseWindow

_Alarm = RatioAlarm | PercentileAlarm | ResponseTimeAlarm | CountAlarm | ProbeAlarm
_NONE: Mapping[int, Measurement] = {}


class Alarms:
    """Evaluates the conditions of `rollback_on`. For one thread at a time. No clock, no I/O.

    The same windows and measurements in the same order give the same verdicts. So a process that continues the
    deployment of another one adds the windows that the other one has seen. With `are_pairs`, each window is one request
    that both releases got. Then a request that is slow or fails in both is no noise.
    """

    def __init__(self, settings: RollbackOn, *, are_pairs: bool = False) -> None:
        limit = EvidenceLimit(settings.threshold, settings.min_requests, settings.confidence)
        self._alarms = [_make(condition, limit) for condition in settings.conditions]
        self._stratum = None if are_pairs else Stratum()

    def add(self, new: ReleaseWindow, previous: ReleaseWindow, measurements: Mapping[int, Measurement] = _NONE) -> None:
        """Take a window of both releases.

        `measurements` has those taken in the window, by the index of their condition. Raises `KeyError`, before
        anything is taken, if a condition with such an index takes none.
        """
        probes = [(self._probe(index), measurement) for index, measurement in measurements.items()]
        joined = self._stratum.add(new, previous) if self._stratum else (new, previous)
        for alarm in self._alarms:
            if isinstance(alarm, ProbeAlarm):
                continue
            if not alarm.compares:
                alarm.add(new, previous)
            elif joined:
                alarm.add(*joined)
        for probe, measurement in probes:
            probe.add(measurement)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdict on each condition, in their order."""
        return tuple(alarm.verdict() for alarm in self._alarms)

    def _probe(self, index: int) -> ProbeAlarm:
        alarm = self._alarms[index] if 0 <= index < len(self._alarms) else None
        if not isinstance(alarm, ProbeAlarm):
            raise KeyError(index)
        return alarm


def _make(condition: object, limit: EvidenceLimit) -> _Alarm:
    match condition:
        case RatioCondition():
            return RatioAlarm(condition, limit)
        case ResponseTimeCondition():
            is_limit = condition.above is not None
            return PercentileAlarm(condition, limit) if is_limit else ResponseTimeAlarm(condition, limit)
        case CountCondition():
            return CountAlarm(condition)
        case CommandCondition() | PromqlCondition():
            return ProbeAlarm(condition)
    raise TypeError(f"{type(condition).__name__} is not a condition")
