"""A histogram of response times whose buckets are the same everywhere, so that histograms add up."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Self

# Each bound is 2 % above the previous one, so a quantile is at most 2 % too high. This is the sketch of Masson, Rim and
# Lee, "DDSketch" (2019), with a relative accuracy of 1 %.
_GROWTH = 1.02
_SMALLEST, _LARGEST = 1e-4, 100.0
_LOG_GROWTH = math.log(_GROWTH)
LAST_BUCKET = math.ceil(math.log(_LARGEST / _SMALLEST) / _LOG_GROWTH)


def bucket_of(seconds: float) -> int:
    """Return the first bucket whose bound is at least this time. Longer times than 100 s are in the last bucket."""
    if seconds <= _SMALLEST:
        return 0
    # The tolerance keeps a bound in its own bucket, whatever the last bit of the logarithm is.
    return min(LAST_BUCKET, math.ceil(math.log(min(seconds, _LARGEST) / _SMALLEST) / _LOG_GROWTH - 1e-9))


def upper_bound(bucket: int) -> float:
    """Return the longest time of a bucket, in seconds."""
    return _SMALLEST * math.exp(bucket * _LOG_GROWTH)


@dataclass(frozen=True)
class Histogram:
    """Counts of response times by bucket. `total` is their sum. Raises `ValueError` for a negative count or bucket."""

    counts: Mapping[int, int] = field(default_factory=dict)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        counts = self.counts
        if counts and (min(counts.values()) < 0 or min(counts) < 0 or max(counts) > LAST_BUCKET):
            raise ValueError(f"a histogram has counts of at least 0, in buckets from 0 to {LAST_BUCKET}")
        object.__setattr__(self, "total", sum(self.counts.values()))

    @classmethod
    def from_times(cls, times: Iterable[float]) -> Self:
        """Return the histogram of times in seconds."""
        counts: dict[int, int] = {}
        for seconds in times:
            bucket = bucket_of(seconds)
            counts[bucket] = counts.get(bucket, 0) + 1
        return cls(counts)

    def __add__(self, other: Histogram) -> Histogram:
        """Return the histogram of the times of both."""
        if not other.counts or not self.counts:
            return self if self.counts else other
        own = self.counts
        return Histogram({**own, **{bucket: own.get(bucket, 0) + count for bucket, count in other.counts.items()}})

    def above(self, buckets: Sequence[int]) -> list[int]:
        """Return for each bucket how many times are longer than its bound."""
        occupied = sorted(self.counts)
        below = [0, *accumulate(map(self.counts.__getitem__, occupied))]
        return [self.total - below[bisect_right(occupied, bucket)] for bucket in buckets]

    def quantile_buckets(self, shares: Sequence[float]) -> list[int]:
        """Return for each share, from 0 to 1, the bucket of that quantile. An empty histogram has bucket 0."""
        occupied = sorted(self.counts)
        below = [*accumulate(map(self.counts.__getitem__, occupied))]
        found = []
        for share in shares:
            # The smallest time that at least this share of all does not exceed; the tolerance is for 0.9 * 10.
            rank = max(1, math.ceil(share * self.total - 1e-9))
            position = min(bisect_right(below, rank - 1), len(occupied) - 1)
            found.append(occupied[position] if occupied else 0)
        return found

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return the quantiles in seconds, each at most 2 % too high. An empty histogram has zeros."""
        return [upper_bound(bucket) if self.total else 0.0 for bucket in self.quantile_buckets(shares)]
