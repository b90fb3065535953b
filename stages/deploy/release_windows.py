"""Windows of one second, filled with the requests of the new release and of the previous one (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from pipeline.alarms.histogram import Histogram, bucket_of
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.access import ForwardedRequest

WindowPair = tuple[ReleaseWindow, ReleaseWindow]
"""The windows of the new and of the previous release for the same second."""

# A second ends this long after it is over: the record of a request is written when the request ends.
_GRACE = 1_000
# A record that is older than this shows that the wall clock was set back, one that is later that it was set forward.
_MAX_LATE, _MAX_GAP = 60_000, 86_400_000
_SECOND = 1_000
# After so many windows without requests, another one changes no alarm (`pipeline/alarms/stratum.py` joins ten).
_MAX_EMPTY = 20
_SWITCHING, _CLIENT_CLOSED = 101, 460
# The balancer closed it because its target left for too long.
_ENDED_BY_DRAIN = "DeregistrationDelayElapsed"


@dataclass(frozen=True)
class ReleaseTraffic:
    """Tells by target group and target which release a request was sent to.

    `home` and `alternate` are names from `target_group_name`. `alternate` has the new release alone, and `home` the
    previous one. With `alternate` None, all targets are in `home` and named after their release. `test_port` is that of
    a listener whose requests belong to neither. A service without requests has an empty `home`.
    """

    replicas: str
    release: int
    home: str
    alternate: str | None = None
    test_port: int | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The target groups of both releases."""
        return tuple(filter(None, (self.home, self.alternate)))

    def is_new(self, request: ForwardedRequest) -> bool | None:
        """Return whether the new release got a request. None if neither release got it."""
        target = request.target
        if request.listener == self.test_port or (target and not target.startswith(self.replicas)):
            return None
        if self.alternate:
            return request.group == self.alternate
        return target is None or _release_of(target, self.replicas) == self.release


class ReleaseWindows:
    """Sorts finished requests into windows of one second. For one thread at a time.

    Of many seconds in a row without requests, as after a night, only some have a window. The others would not change
    the evidence.

    A request is in the window of the second in which it ended, or in the current one if its record comes late. So the
    windows depend on the order of the records, and not on when they are read. Requests that arrived before `start`
    count for neither release: the previous one has some that take long, and the new one cannot. Response times of
    requests that arrived before `start` + `warm_up` do not count, also for neither.
    """

    def __init__(self, traffic: ReleaseTraffic, start: datetime, warm_up: timedelta = timedelta(0)) -> None:
        self._traffic = traffic
        self._start = round(start.timestamp() * 1000)
        self._warm = self._start + round(warm_up.total_seconds() * 1000)
        self._second = self._start // _SECOND
        self._new, self._previous = _Counts(), _Counts()

    def add(self, requests: Iterable[ForwardedRequest]) -> Iterator[WindowPair]:
        """Take requests in the order of their records, and yield the windows that end before them."""
        for request in requests:
            is_new = self._traffic.is_new(request)
            if is_new is None or request.arrived < self._start:
                continue
            if (second := request.ended // _SECOND) != self._second:
                yield from self._move_to(second)
            counts = self._new if is_new else self._previous
            counts.add(request, timed=request.arrived >= self._warm)

    def advance(self, now: datetime) -> Iterator[WindowPair]:
        """Yield the windows that are over at a time."""
        yield from self._move_to((round(now.timestamp() * 1000) - _GRACE) // _SECOND)

    def _move_to(self, second: int) -> Iterator[WindowPair]:
        gap = (second - self._second) * _SECOND
        if gap < -_MAX_LATE or gap > _MAX_GAP:
            self._second = second - 1
        while self._second < second:
            self._second += 1
            yield self._new.window(), self._previous.window()
            self._new, self._previous = _Counts(), _Counts()
            self._second = max(self._second, second - _MAX_EMPTY)


class _Counts:
    """The counts of one release in the current window."""

    def __init__(self) -> None:
        self._requests = self._target_5xx = self._elb_5xx = self._connection_errors = 0
        self._times: dict[int, int] = {}

    def add(self, request: ForwardedRequest, *, timed: bool) -> None:
        self._connection_errors += request.connect_errors
        status, is_from_target = request.status or 0, request.is_from_target
        # The client has waited for this long, so a release that hangs is found although its clients leave.
        is_abandoned = status == _CLIENT_CLOSED and not is_from_target and request.response_time is not None
        is_failed = status >= 500 and not is_from_target and request.error != _ENDED_BY_DRAIN
        if not (is_from_target or is_abandoned or is_failed):
            return
        self._requests += 1
        if status >= 500:
            self._target_5xx += is_from_target
            self._elb_5xx += not is_from_target
        is_response = (is_from_target or is_abandoned) and status != _SWITCHING and not request.is_grpc
        if timed and is_response and request.response_time is not None:
            bucket = _bucket(request.response_time)
            self._times[bucket] = self._times.get(bucket, 0) + 1

    def window(self) -> ReleaseWindow:
        return ReleaseWindow(
            requests=self._requests,
            target_5xx=self._target_5xx,
            elb_5xx=self._elb_5xx,
            connection_errors=self._connection_errors,
            response_times=Histogram(self._times),
        )


@lru_cache(maxsize=4096)
def _bucket(milliseconds: int) -> int:
    return bucket_of(milliseconds / 1000)


@lru_cache(maxsize=4096)
def _release_of(target: str, replicas: str) -> int | None:
    """Return the release in the name of a replica."""
    number = target.removeprefix(replicas).partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() else None
