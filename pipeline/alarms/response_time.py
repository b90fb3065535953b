"""The comparison of the response times of both releases, at quantiles of the previous one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.alarms.histogram import LAST_BUCKET, Histogram, bucket_of, upper_bound
from pipeline.alarms.ratio import Count, against_previous
from pipeline.alarms.wealth import Wealth

WHOLE_DISTRIBUTION = (0.5, 0.75, 0.9, 0.95, 0.99)
"""The quantiles at which whole distributions are compared."""

# The access log has whole milliseconds, rounded down.
_RESOLUTION = 0.001
# From this many times on, a quantile of the previous release is worth comparing at.
_MIN_TIMES = 50
_REFRESH = 1.5


class ResponseTimeComparison:
    """Evidence against "no quantile of the new release is more than `margin` above that of the previous one".

    At each quantile of the previous release, the share of times above it is compared, for the new release after a
    division by 1 + `margin`. Both shares come from the same window, so the uncertainty of the previous release counts,
    and load that slows both releases is no evidence. Where the quantile lies is estimated from earlier windows: a
    wrong place costs power, not validity. The evidence is the average over the quantiles, which is an e-process because
    each of them is (Vovk and Wang, "E-values: calibration, combination and applications", 2021).
    """

    def __init__(self, quantiles: Sequence[float], margin: float) -> None:
        self._quantiles = quantiles
        self._margin = margin
        self._wealth = [Wealth() for _ in quantiles]
        self.previous = Histogram()
        """All times of the previous release so far."""
        self._estimated_from = 0
        self._places: list[int] = []
        self._new_places: list[int] = []

    def add(self, new: Histogram, previous: Histogram) -> None:
        """Take the times of both releases in a window, or in a stratum of windows."""
        if self._places and new.total and previous.total:
            above = zip(new.above(self._new_places), previous.above(self._places), strict=True)
            for wealth, (slow, previously_slow) in zip(self._wealth, above, strict=True):
                wealth.bet(against_previous(Count(slow, new.total), Count(previously_slow, previous.total)))
        self.previous += previous
        if self.previous.total >= max(_MIN_TIMES, _REFRESH * self._estimated_from):
            self._estimated_from = self.previous.total
            self._places = self.previous.quantile_buckets(self._quantiles)
            self._new_places = [self._with_margin(bucket) for bucket in self._places]

    @property
    def e_value(self) -> float:
        """The evidence now."""
        return math.fsum(wealth.e_value for wealth in self._wealth) / len(self._wealth)

    def _with_margin(self, bucket: int) -> int:
        """Return the bucket above which a time of the new release is slow, rounded up in favour of the release."""
        if not self._margin:
            return bucket
        return min(LAST_BUCKET, bucket_of((upper_bound(bucket) + _RESOLUTION) * (1 + self._margin)))
