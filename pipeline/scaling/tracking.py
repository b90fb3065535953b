"""The number of replicas that one target needs (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.scaling.observation import Observation
from pipeline.scaling.policy import ScalingTarget

# Replicas are removed only if the rest is at most at this share of the target, as in AWS. In between, nothing changes.
SCALE_IN_SHARE = 0.9
# The response time rises steeply near the capacity, so its gap is wider.
_QUICK_SHARE = 0.7
_MAX_GROWTH = 2
_MAX_STEP_SHARE = 10
# A load of exactly ten targets must not need eleven replicas because of the last bit of a float.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The result for one target: fewer than `least` replicas are too few, and `enough` would do with room to spare.

    None means that the metric is missing or proves nothing now. `text` has the metric and its target.
    """

    text: str
    least: int | None = None
    enough: int | None = None


def needs(target: ScalingTarget, seen: Observation, too_much: float | None) -> Iterator[Need]:
    """Yield the need of each value in `target`. `too_much` is that of the state."""
    if target.requests_per_target is not None:
        yield _proportional("requests_per_target", target.requests_per_target, seen.requests)
    if target.connections is not None:
        yield _connections(target.connections, seen)
    if target.cpu is not None:
        yield _cpu(target.cpu, seen)
    if target.response_time_p90 is not None:
        yield _response_time(target.response_time_p90.total_seconds(), seen, too_much)


def replicas_for(load: float, target: float) -> int:
    """Return the smallest number of replicas with at most `target` of the load each."""
    return math.ceil(load / target - _ROUNDING)


def load_limit(target: ScalingTarget, seen: Observation, too_much: float | None, *, settled: bool) -> float | None:
    """Return the new value of `too_much`: the load per replica at which the response time is over its target.

    It falls when the target is missed at less load, and rises when a higher load is served quickly, as after a slow
    dependency has recovered. A deployment makes it unknown. Without `settled`, replicas were added lately: they may
    still work off what had waited for them, so a miss proves nothing about the load.
    """
    if seen.deploying or target.response_time_p90 is None:
        return None
    if seen.response_time is None or not seen.requests or not seen.serving or seen.starting:
        return too_much
    load, ratio = seen.requests / seen.serving, seen.response_time / target.response_time_p90.total_seconds()
    if ratio > 1:
        return _limit_after_miss(seen, too_much) if settled else too_much
    return load if too_much is not None and ratio < _QUICK_SHARE and load > too_much else too_much


def _proportional(name: str, target: float, load: float | None) -> Need:
    """Divide the total load, which does not depend on the number of replicas."""
    if load is None:
        return Need(text=f"{name} is unknown")
    text = f"{name}: {load:.4g} in total, target {target:g} for each replica"
    return Need(text=text, least=replicas_for(load, target), enough=replicas_for(load, target * SCALE_IN_SHARE))


def _connections(target: float, seen: Observation) -> Need:
    need = _proportional("connections", target, seen.connections)
    if need.least is None:
        return need
    # A queue in front of busy replicas grows with time and not with the load, so it says only that more are needed.
    most = max(1, _MAX_GROWTH * seen.serving)
    return Need(text=need.text, least=min(need.least, max(most, seen.count)), enough=need.enough)


def _cpu(target: float, seen: Observation) -> Need:
    if seen.cpu is None or not seen.serving:
        return Need(text="cpu is unknown")
    need = _proportional("cpu", target, seen.cpu * seen.serving)
    return Need(text=f"cpu: {seen.cpu:.3g} %, target {target:g} %", least=need.least, enough=need.enough)


def _response_time(target: float, seen: Observation, too_much: float | None) -> Need:
    """Search in steps, since the response time is no linear function of the load.

    Near its capacity, a replica with 5 % more requests may answer in twice the time, and one with half the load not
    faster at all. So a ratio of response times says little about the number of replicas. But the load per replica at
    which the target was missed is learned (`load_limit`). Below it, a step in is not tried, so that one replica is not
    removed and added again for ever under the same load.
    """
    if seen.is_idle:
        return Need(text="no requests", least=0, enough=_one_step_in(seen.count))
    if seen.response_time is None or seen.requests is None or not seen.serving:
        return Need(text="response_time_p90 is unknown")
    text = f"response_time_p90: {seen.response_time * 1000:.4g} ms, target {target * 1000:g} ms"
    if seen.starting:
        return Need(text=f"{text}, {seen.starting} starting", least=seen.count)
    ratio = seen.response_time / target
    known = replicas_for(seen.requests, too_much * SCALE_IN_SHARE) if too_much else 0
    if ratio > 1:
        growth = math.ceil(seen.count * min(ratio, _MAX_GROWTH) - _ROUNDING)
        wanted = max(seen.count + 1, growth, known)
        return Need(text=text, least=min(wanted, max(1, _MAX_GROWTH * seen.count)), enough=wanted)
    enough = max(_one_step_in(seen.count), known) if ratio < _QUICK_SHARE else seen.count
    return Need(text=text, least=0, enough=enough)


def _limit_after_miss(seen: Observation, too_much: float | None) -> float:
    """Return the smallest load per replica that was too much, this observation included."""
    load = (seen.requests or 0) / seen.serving
    return load if too_much is None else min(load, too_much)


def _one_step_in(count: int) -> int:
    return max(0, count - max(1, count // _MAX_STEP_SHARE))
