"""The timelines of runs that are looked at again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime

from pipeline.http.responses.timeline import TimelineResponse
from pipeline.http.timeline.timeline import Timeline
from pipeline.store.records import Run
from pipeline.store.store import Store

_PAGE = 1000
_MAX_KEPT = 16


class RunTimelines:
    """Timelines that are continued: a second look reads only the events since the first.

    Safe to use from any thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, datetime], _Kept] = OrderedDict()

    def of(self, run: Run) -> TimelineResponse:
        """Return what a run did when."""
        # The start of a queued run changes once, and with it where its lanes begin.
        key = run.pipeline, run.number, run.started_at
        with self._lock:
            kept = self._kept[key] = self._kept.pop(key) if key in self._kept else _Kept(run.started_at)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            while found := self._store.events.after(run.pipeline, kept.timeline.last_event, _PAGE, run=run.number):
                for number, event in found:
                    kept.timeline.add(number, event)
            return kept.timeline.response(run, self._store.runs.stages(run.pipeline, run.number))


class _Kept:
    def __init__(self, started_at: datetime) -> None:
        self.lock = threading.Lock()
        self.timeline = Timeline(started_at)
