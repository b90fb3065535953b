"""The alarms on response times: against a limit, and against the previous release."""

from __future__ import annotations

from pipeline.alarms.condition import ResponseTimeCondition
from pipeline.alarms.histogram import Histogram, bucket_of
from pipeline.alarms.ratio import Count, against_limit
from pipeline.alarms.response_time import WHOLE_DISTRIBUTION, ResponseTimeComparison
from pipeline.alarms.verdict import EvidenceLimit, Verdict
from pipeline.alarms.wealth import Wealth
from pipeline.alarms.window import ReleaseWindow

_QUANTILES = {"p50": (0.5,), "p90": (0.9,), "p99": (0.99,), "response_time": WHOLE_DISTRIBUTION}
_SHOWN = (0.5, 0.9, 0.99)


class PercentileAlarm:
    """Evidence against "the percentile is at most the limit": more times are above it than the percentile lets."""

    compares = False

    def __init__(self, condition: ResponseTimeCondition, limit: EvidenceLimit) -> None:
        assert condition.above is not None
        self._condition, self._limit = condition, limit
        self._seconds = condition.above.total_seconds()
        (quantile,) = _QUANTILES[condition.metric]
        self._share_above = 1 - quantile
        self._wealth, self._times = Wealth(), Histogram()

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> None:  # noqa: ARG002
        """Take a window."""
        if not new.response_times.total:
            # A bet on nothing would use up the stake during a night without requests.
            return
        (slow,) = new.response_times.above([bucket_of(self._seconds)])
        self._wealth.bet(against_limit(Count(slow, new.response_times.total), self._share_above))
        self._times += new.response_times

    def verdict(self) -> Verdict:
        """Return the verdict on all windows so far."""
        numbers = f"{self._condition.describe()}: {_format(self._condition.metric, self._times)}"
        return self._limit.judge(numbers, self._wealth.e_value, self._times.total, None)


class ResponseTimeAlarm:
    """Evidence that the new release is slower than the previous one."""

    compares = True

    def __init__(self, condition: ResponseTimeCondition, limit: EvidenceLimit) -> None:
        self._condition, self._limit = condition, limit
        self._comparison = ResponseTimeComparison(_QUANTILES[condition.metric], condition.margin)
        self._new = Histogram()

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> None:
        """Take a window of both releases."""
        self._comparison.add(new.response_times, previous.response_times)
        self._new += new.response_times

    def verdict(self) -> Verdict:
        """Return the verdict on all windows so far."""
        metric = self._condition.metric
        new, previous = _format(metric, self._new), _format(metric, self._comparison.previous)
        numbers = f"{self._condition.describe()}: {new} against {previous}"
        return self._limit.judge(numbers, self._comparison.e_value, self._new.total, self._comparison.previous.total)


def format_seconds(seconds: float) -> str:
    """Return a time in milliseconds with three digits, or in seconds from 10 s on, as pipeline.yaml has it."""
    return f"{seconds:.3g}s" if seconds >= 10 else f"{float(f'{seconds * 1000:.3g}'):,.7g}ms"


def _format(metric: str, times: Histogram) -> str:
    """Return the quantiles of a metric, and the number of times: `412ms (1,950 requests)`."""
    requests = "request" if times.total == 1 else "requests"
    return f"{_format_quantiles(metric, times)} ({times.total:,} {requests})"


def _format_quantiles(metric: str, times: Histogram) -> str:
    if metric != "response_time":
        (found,) = times.quantiles(_QUANTILES[metric])
        return format_seconds(found)
    shown = zip(_SHOWN, times.quantiles(_SHOWN), strict=True)
    return ", ".join(f"p{share * 100:g} {format_seconds(found)}" for share, found in shown)
