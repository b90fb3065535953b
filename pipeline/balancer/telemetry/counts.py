"""What the lines of an access log add up to."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

from pipeline.balancer.telemetry.exposition import Labels, labels
from pipeline.balancer.telemetry.line import Line
from pipeline.balancer.telemetry.outcome import Outcome

Sample = tuple[str, Labels, float]

# Milliseconds, HAProxy's finest. From 3 ms on, each is at most 1.4 times the one before: so near is a percentile.
_BOUNDS = (
    *(1, 2, 3, 4, 5, 6, 8),
    *(10, 13, 17, 23, 30, 40, 55, 75),
    *(100, 130, 170, 230, 300, 400, 550, 750),
    *(1000, 1300, 1700, 2300, 3000, 4000, 5500, 7500),
    *(10_000, 13_000, 17_000, 23_000, 30_000, 40_000, 50_000, 60_000),
)
_COUNTED_BY_ITSELF = frozenset({500, 502, 503, 504})
# What HAProxy says of a cookie that led to no target: none, invalid, of a target that is down, expired, too old.
_NOT_STICKY = frozenset("NIDEO")


class Counts:
    """Counters by CloudWatch's name and labels."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._by_target: Counter[tuple[Labels, str]] = Counter()
        self._times: dict[Labels, list[int]] = {}
        self._time: Counter[Labels] = Counter()

    def count(self, line: Line) -> None:
        """Take in a request."""
        outcome, numbers = Outcome.of(line), line.numbers
        where = _where(outcome.load_balancer, None)
        self._counts["ProcessedBytes", where] += numbers["received_bytes"] + numbers["sent_bytes"]
        if outcome.action == "redirect":
            self._counts["HTTP_Redirect_Count", where] += 1
        elif outcome.action == "fixed-response":
            self._counts["HTTP_Fixed_Response_Count", where] += 1
        if outcome.target_status is None and outcome.elb_status is not None:
            self._count_own(where, outcome.elb_status)
        if outcome.target is not None:
            self._count_target(line, outcome, outcome.target)

    def samples(self, name: str) -> Iterator[Sample]:
        """The samples of a counter."""
        yield from (("", where, count) for (metric, where), count in self._counts.items() if metric == name)

    def target_samples(self, targets: Mapping[tuple[str, str], str]) -> Iterator[Sample]:
        """Requests by target. `targets`: group and address → id. Others have left, and are nobody's concern."""
        for (where, address), count in self._by_target.items():
            if name := targets.get((dict(where).get("target_group", ""), address)):
                yield "", (*where, ("target", name)), count

    def time_samples(self) -> Iterator[Sample]:
        """The histogram of targets' response times."""
        for where, counts in self._times.items():
            total = sum(counts)
            for bound, below in zip(_BOUNDS, accumulate(counts), strict=False):
                yield "_bucket", (*where, ("le", f"{bound / 1000:g}")), below
            yield "_bucket", (*where, ("le", "+Inf")), total
            yield "_sum", where, self._time[where] / 1000
            yield "_count", where, total

    def _count_own(self, where: Labels, status: int) -> None:
        if 300 <= status <= 599:
            self._counts[f"HTTPCode_ELB_{status // 100}XX_Count", where] += 1
        if status in _COUNTED_BY_ITSELF:
            self._counts[f"HTTPCode_ELB_{status}_Count", where] += 1

    def _count_target(self, line: Line, outcome: Outcome, target: str) -> None:
        where = _where(outcome.load_balancer, outcome.target_group)
        self._counts["RequestCount", where] += 1
        self._by_target[where, target] += 1
        if outcome.target_status is not None and 200 <= outcome.target_status <= 599:
            self._counts[f"HTTPCode_Target_{outcome.target_status // 100}XX_Count", where] += 1
        termination = line.fields["termination"]
        if failed := line.numbers["retries"] + (termination[:2] in ("SC", "sC")):
            self._counts["TargetConnectionErrorCount", where] += failed
        if termination[2] in _NOT_STICKY:
            self._counts["NonStickyRequestCount", where] += 1
        if (taken := line.numbers["response"]) >= 0:
            times = self._times.setdefault(where, [0] * (len(_BOUNDS) + 1))
            times[bisect_left(_BOUNDS, taken)] += 1
            self._time[where] += taken


@lru_cache(maxsize=4096)
def _where(load_balancer: str, target_group: str | None) -> Labels:
    return labels({"load_balancer": load_balancer, "target_group": target_group})
