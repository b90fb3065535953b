"""The counters and the histogram that the records of the access log add up to."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.telemetry.families import Labels, Sample, labels

# Seconds. From 3 ms on, each is at most 1.4 times the previous one, which bounds the error of a percentile.
_BOUNDS = tuple(
    milliseconds / 1000
    for milliseconds in (
        *(1, 2, 3, 4, 5, 6, 8),
        *(10, 13, 17, 23, 30, 40, 55, 75),
        *(100, 130, 170, 230, 300, 400, 550, 750),
        *(1000, 1300, 1700, 2300, 3000, 4000, 5500, 7500),
        *(10_000, 13_000, 17_000, 23_000, 30_000, 40_000, 50_000, 60_000),
    )
)
_CODES_WITH_OWN_COUNTER = frozenset({500, 502, 503, 504})


class Counters:
    """Counters by CloudWatch's name and labels. They only grow."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._by_target: Counter[tuple[Labels, str]] = Counter()
        self._buckets: dict[Labels, list[int]] = {}
        # Whole microseconds: a sum of fractions would drift.
        self._microseconds: Counter[Labels] = Counter()

    def add(self, record: AccessRecord) -> None:
        """Count a request."""
        where = _labels(record.load_balancer, None)
        self._counts["ProcessedBytes", where] += record.received_bytes + record.sent_bytes
        if record.action == "redirect":
            self._counts["HTTP_Redirect_Count", where] += 1
        elif record.action == "fixed-response":
            self._counts["HTTP_Fixed_Response_Count", where] += 1
        if record.target_status is None and record.elb_status is not None:
            self._add_own_response(where, record.elb_status)
        if record.target is not None:
            self._add_target_response(record, record.target)

    def samples(self, name: str) -> Iterator[Sample]:
        """Yield the samples of a counter."""
        yield from (("", where, count) for (metric, where), count in self._counts.items() if metric == name)

    def target_samples(self, targets: Mapping[tuple[str, str], str]) -> Iterator[Sample]:
        """Yield requests by target. `targets` maps group and address to a target's ID; other addresses are left out."""
        for (where, address), count in self._by_target.items():
            if target := targets.get((dict(where).get("target_group", ""), address)):
                yield "", (*where, ("target", target)), count

    def time_samples(self) -> Iterator[Sample]:
        """Yield the histogram of the targets' response times."""
        for where, counts in self._buckets.items():
            total = sum(counts)
            for bound, below in zip(_BOUNDS, accumulate(counts), strict=False):
                yield "_bucket", (*where, ("le", f"{bound:g}")), below
            yield "_bucket", (*where, ("le", "+Inf")), total
            yield "_sum", where, self._microseconds[where] / 1_000_000
            yield "_count", where, total

    def _add_own_response(self, where: Labels, status: int) -> None:
        if 300 <= status <= 599:
            self._counts[f"HTTPCode_ELB_{status // 100}XX_Count", where] += 1
        if status in _CODES_WITH_OWN_COUNTER:
            self._counts[f"HTTPCode_ELB_{status}_Count", where] += 1

    def _add_target_response(self, record: AccessRecord, target: str) -> None:
        where = _labels(record.load_balancer, record.target_group)
        self._counts["RequestCount", where] += 1
        self._by_target[where, target] += 1
        if record.target_status is not None and 200 <= record.target_status <= 599:
            self._counts[f"HTTPCode_Target_{record.target_status // 100}XX_Count", where] += 1
        if record.connect_errors:
            self._counts["TargetConnectionErrorCount", where] += record.connect_errors
        if record.sticky_miss:
            self._counts["NonStickyRequestCount", where] += 1
        if record.target_time is not None:
            buckets = self._buckets.setdefault(where, [0] * (len(_BOUNDS) + 1))
            buckets[bisect_left(_BOUNDS, record.target_time)] += 1
            self._microseconds[where] += round(record.target_time * 1_000_000)


@lru_cache(maxsize=4096)
def _labels(load_balancer: str, target_group: str | None) -> Labels:
    return labels({"load_balancer": load_balancer, "target_group": target_group})
