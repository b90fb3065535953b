"""Events as they are written, for a reader that follows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event as Flag

from pipeline.base.clock import Clock
from pipeline.events import Event
from pipeline.store.event_filter import EventFilter
from pipeline.store.records import LAST_EVENTS
from pipeline.store.store import Store

_MAX_EVENTS = 1000
POLL_INTERVAL = timedelta(milliseconds=50)


class EventFollower:
    """The events after the id `last`, in order: of a run, of a pipeline, of all pipelines, or those that are `wanted`.

    A follower of a run is over after the run's last event. This event is written shortly after the outcome of the run.
    So a follower that sees the outcome waits up to `grace` for that event. It may also have read it already.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        last: int = 0,
        *,
        pipeline: str | None = None,
        run: int | None = None,
        wanted: EventFilter | None = None,
        grace: timedelta = timedelta(seconds=2),
    ) -> None:
        self._store = store
        self._clock = clock
        self._last = last
        self._pipeline = pipeline
        self._run = run
        self._wanted = wanted or EventFilter(pipeline, run)
        self._grace = grace
        self._over_since: float | None = None
        self.over = False
        self.is_behind = False
        """True if the last `poll` may have left out events, because there were too many."""

    @property
    def max_wait(self) -> timedelta:
        """The time after which to poll again, even if the database has not changed."""
        if self._over_since is None:
            return timedelta.max
        left = self._over_since + self._grace.total_seconds() - self._clock.monotonic()
        return max(timedelta(seconds=left), timedelta(0))

    def poll(self) -> list[tuple[int, Event]]:
        """Return the events that were written since the last call, with their ids. Sets `over` after the last ones."""
        # Read the run's state first, so that an event written in between is found.
        run_over = self._is_run_over()
        latest = self._store.events.last_id()
        found = self._store.events.newer(self._wanted, self._last, _MAX_EVENTS)
        self.is_behind = len(found) == _MAX_EVENTS
        if found:
            self._last = found[-1][0]
        if not self.is_behind:
            # So that events which are not wanted are read once.
            self._last = max(self._last, latest)
        if self._run is not None:
            self.over = any(event.kind in LAST_EVENTS for _, event in found) or (run_over and self._is_grace_over())
        return found

    def follow(self) -> Iterator[Event]:
        """Yield each event when it is written, until the follower is over. Blocks in between."""
        never = Flag()
        while not self.over:
            yield from (event for _, event in self.poll())
            if not self.over:
                self._clock.wait(never, POLL_INTERVAL)

    def _is_run_over(self) -> bool:
        if self._pipeline is None or self._run is None:
            return False
        run = self._store.runs.get(self._pipeline, self._run)
        return run is None or run.state.over

    def _is_grace_over(self) -> bool:
        now = self._clock.monotonic()
        if self._over_since is None:
            self._over_since = now
        return now - self._over_since >= self._grace.total_seconds()
