"""Requests of the last minutes by second and target group: how many, how many failed, and how long they took."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.balancer.access import ForwardedRequest

# A bucket of response times is at most a sixteenth of its times wide.
_PRECISION = 5


@dataclass
class _Counted:
    """The requests to one group that ended in one second. `times` are response times by bucket."""

    requests: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, request: ForwardedRequest) -> None:
        self.requests += 1
        status = request.status or 0
        if status >= 500:
            self.errors_5xx += 1
        elif status >= 400:
            self.errors_4xx += 1
        if request.is_from_target and request.response_time is not None:
            self.times[bucket_of(request.response_time)] += 1


@dataclass(frozen=True)
class TrafficStep:
    """The requests that ended in `seconds` from `at` on. Response times are seconds, None without a response.

    `errors_4xx` and `errors_5xx` count what clients got, also from the load balancer.
    """

    at: datetime
    seconds: int
    requests: int
    errors_4xx: int
    errors_5xx: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class TrafficChoice:
    """The target groups whose traffic is wanted: one, those of an owner and some others, or all."""

    group: str | None = None
    owner: str | None = None
    others: frozenset[str] = frozenset()

    def has(self, group: str) -> bool:
        """Return whether a group is wanted, by the name that records have."""
        if self.group is not None:
            return group == self.group
        return self.owner is None or group.rpartition(".")[0] == self.owner or group in self.others


class TrafficHistory:
    """Counts by second. For one thread at a time."""

    def __init__(self) -> None:
        self._seconds: defaultdict[int, dict[str, _Counted]] = defaultdict(dict)
        # By choice, first second, and the second after the last.
        self._known: dict[tuple[TrafficChoice, int, int], TrafficStep] = {}

    def add(self, requests: Iterable[ForwardedRequest]) -> int | None:
        """Count requests, and return the earliest second in which one ended. None without any."""
        oldest: int | None = None
        for request in requests:
            second = request.ended // 1000
            groups = self._seconds[second]
            if (counted := groups.get(request.group)) is None:
                counted = groups[request.group] = _Counted()
            counted.add(request)
            if oldest is None or second < oldest:
                oldest = second
        if oldest is not None:
            self._known = {key: found for key, found in self._known.items() if key[2] <= oldest}
        return oldest

    def keep(self, first: int, last: int) -> None:
        """Forget all seconds but these. Later ones are of a time before the wall clock was set back."""
        for second in [second for second in self._seconds if not first <= second <= last]:
            del self._seconds[second]
        self._known = {key: found for key, found in self._known.items() if first <= key[1] <= last}

    def groups(self, first: int, end: int) -> list[str]:
        """Return the groups that had requests in the seconds from `first` until before `end`, sorted."""
        return sorted({group for second in range(first, end) for group in self._seconds.get(second, ())})

    def steps(self, first: int, end: int, step: int, wanted: TrafficChoice) -> Iterator[TrafficStep]:
        """Yield the steps from second `first` until before `end`, oldest first, of the groups that are `wanted`.

        Steps begin at multiples of `step` seconds, so the first and the last one may be shorter.
        """
        while first < end:
            following = min((first // step + 1) * step, end)
            key = (wanted, first, following)
            if (found := self._known.get(key)) is None:
                found = self._known[key] = self._step(first, following, wanted)
            yield found
            first = following

    def _step(self, first: int, end: int, wanted: TrafficChoice) -> TrafficStep:
        found = [
            counted
            for second in range(first, end)
            for group, counted in self._seconds.get(second, {}).items()
            if wanted.has(group)
        ]
        times = Counter[int]()
        for counted in found:
            times.update(counted.times)
        return TrafficStep(
            at=datetime.fromtimestamp(first, UTC),
            seconds=end - first,
            requests=sum(counted.requests for counted in found),
            errors_4xx=sum(counted.errors_4xx for counted in found),
            errors_5xx=sum(counted.errors_5xx for counted in found),
            p50=_quantile(times, 0.5),
            p99=_quantile(times, 0.99),
        )


def bucket_of(milliseconds: int) -> int:
    """Return the bucket of a response time. Times below 32 ms have buckets of their own."""
    shift = max(milliseconds.bit_length() - _PRECISION, 0)
    return (shift << _PRECISION) + (milliseconds >> shift)


def largest_of(bucket: int) -> int:
    """Return the longest time of a bucket, in milliseconds."""
    shift = bucket >> _PRECISION
    return (((bucket & ((1 << _PRECISION) - 1)) + 1) << shift) - 1


def _quantile(times: Counter[int], share: float) -> float | None:
    """Return the time that at least this share of all does not exceed, at most a sixteenth too long."""
    rank = math.ceil(share * times.total())
    for bucket in sorted(times):
        rank -= times[bucket]
        if rank <= 0:
            return largest_of(bucket) / 1000
    return None
