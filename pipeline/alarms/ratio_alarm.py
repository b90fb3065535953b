"""The alarm on a ratio, such as that of responses with 5XX."""

from __future__ import annotations

from pipeline.alarms.condition import RatioCondition
from pipeline.alarms.ratio import Count, against_limit, against_previous, against_previous_plus
from pipeline.alarms.verdict import EvidenceLimit, Verdict, percent
from pipeline.alarms.wealth import Wealth
from pipeline.alarms.window import ReleaseWindow


class RatioAlarm:
    """Evidence against a ratio within the condition."""

    def __init__(self, condition: RatioCondition, limit: EvidenceLimit) -> None:
        self._condition = condition
        self._limit = limit
        self._wealth = Wealth()
        self._new = self._previous = Count()
        self.compares = condition.compares

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> None:
        """Take a window of both releases."""
        bad, previously_bad = self._count(new), self._count(previous)
        if not bad.total:
            # A bet on nothing would use up the stake during a night without requests.
            return
        if self._condition.above is not None:
            self._wealth.bet(against_limit(bad, self._condition.above))
        elif self._condition.worse_by is not None:
            margin = self._condition.worse_by
            self._wealth.bet(against_previous_plus(bad, previously_bad, margin, self._previous))
        else:
            self._wealth.bet(against_previous(bad, previously_bad))
        self._new, self._previous = self._new.plus(bad), self._previous.plus(previously_bad)

    def verdict(self) -> Verdict:
        """Return the verdict on all windows so far."""
        numbers = f"{self._condition.describe()}: {percent(*self._new)}"
        if self._condition.above is not None:
            return self._limit.judge(numbers, self._wealth.e_value, self._new.total, None)
        numbers = f"{numbers} against {percent(*self._previous)}"
        return self._limit.judge(numbers, self._wealth.e_value, self._new.total, self._previous.total)

    def _count(self, window: ReleaseWindow) -> Count:
        bad = {
            "http_5xx_ratio": window.target_5xx + window.elb_5xx,
            "target_5xx_ratio": window.target_5xx,
            "elb_5xx_ratio": window.elb_5xx,
        }
        return Count(bad[self._condition.metric], window.requests)
