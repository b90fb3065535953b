"""The traffic of the last seconds, for views that are refreshed again and again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pipeline.balancer.access import AccessLog, AccessRecord
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.base.clock import SYSTEM, Clock

_SECONDS = 10
_K = TypeVar("_K")


class RecentTraffic:
    """Reads each request of the access log once, however many views there are. Safe to use from any thread.

    Nothing is read while no view is refreshed. After such a time, the log is read from ten seconds ago.
    """

    def __init__(self, open_log: Callable[[], AccessLog], clock: Clock = SYSTEM) -> None:
        self._open_log = open_log
        self._clock = clock
        self._log: AccessLog | None = None
        # Requests by the second in which they ended, since 1970.
        self._by_second: dict[int, Traffic] = {}
        self._total = Traffic(_SECONDS)
        self._read_at = 0.0
        self._lock = threading.Lock()

    def read(self) -> Traffic:
        """Return the traffic of the last nine to ten seconds. Raises `BalancerFault` if the log cannot be read."""
        with self._lock:
            now = self._clock.now().wall
            begin = int(now.timestamp()) - _SECONDS + 1
            if self._log is None or not 0 <= now.timestamp() - self._read_at < _SECONDS:
                self._begin_at(begin)
            self._read_at = now.timestamp()
            self._expire(begin)
            self._add(begin, now)
            total = self._total
            return Traffic(now.timestamp() - begin, total.requests.copy(), total.errors.copy(), total.rules.copy())

    def _begin_at(self, begin: int) -> None:
        self._log = self._log or self._open_log()
        self._log.rewind(datetime.fromtimestamp(begin, UTC))
        self._by_second, self._total = {}, Traffic(_SECONDS)

    def _add(self, begin: int, now: datetime) -> None:
        assert self._log is not None
        limit = now + timedelta(seconds=1)
        for record in self._log.appended():
            # A later time is older: the wall clock was set back since.
            if isinstance(record, AccessRecord) and begin <= record.ended.timestamp() and record.ended <= limit:
                second = int(record.ended.timestamp())
                self._by_second.setdefault(second, Traffic(1)).add(record)
                self._total.add(record)

    def _expire(self, begin: int) -> None:
        for second in [second for second in self._by_second if second < begin]:
            gone = self._by_second.pop(second)
            _subtract(self._total.requests, gone.requests)
            _subtract(self._total.errors, gone.errors)
            _subtract(self._total.rules, gone.rules)


def _subtract(counts: Counter[_K], gone: Counter[_K]) -> None:
    counts.subtract(gone)
    for key in gone:
        if not counts[key]:
            del counts[key]
