"""Fan-out of a run's events to its reporters."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import cast

from pipeline.base.clock import Clock
from pipeline.base.errors import StoreFault
from pipeline.config.load import Configuration
from pipeline.event_kinds import EventKind
from pipeline.events import Event, Events
from pipeline.reporters.delivery_queue import DeliveryQueue
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import Reporter
from pipeline.store.store import Store


class ReporterDispatcher:
    """Sends every `run.*` event to each reporter of the configuration. Never raises, and never blocks the run.

    Subscribe `on_event` to the run's events. A failed message is emitted as `reporter.failed`, with the fields
    `reporter` and `reason`.
    """

    def __init__(self, configuration: Configuration, run: int, store: Store, events: Events, clock: Clock) -> None:
        self._run = run
        self._store = store
        self._events = events
        self._withheld: Event | None = None
        self._deliveries = [
            DeliveryQueue(name, cast("Reporter", reporter), configuration.secrets, self._failed, clock)
            for name, reporter in configuration.pipeline.reporters.items()
        ]

    def on_event(self, event: Event) -> None:
        """Queue an event for the reporters. A listener of `Events`. Returns immediately."""
        subject = event.kind.partition(".")[0]
        if not self._deliveries or subject not in ("run", "stage"):
            return
        run = None
        with suppress(StoreFault):
            run = self._store.runs.get(event.pipeline, self._run)
        if run is None:
            return
        withheld, self._withheld = self._withheld, None
        if not run.sha:
            # The Source stage resolves the commit. Hold the start until then, for reporters that need the commit.
            self._withheld = event if subject == "run" else withheld
        for delivery in self._deliveries:
            due = event if subject == "run" else withheld if delivery.needs_commit else None
            if due is not None and (run.sha or not delivery.needs_commit):
                delivery.put(Report(due, run))

    def close(self, timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds for pending messages, and drop the others."""
        deadline = time.monotonic() + timeout
        for delivery in self._deliveries:
            delivery.end()
        for delivery in self._deliveries:
            delivery.join(max(0.0, deadline - time.monotonic()))

    def _failed(self, name: str, reason: str) -> None:
        # The store may be closed by now. The message is lost in any case.
        with suppress(StoreFault):
            self._events.emit(EventKind.REPORTER_FAILED, f"reporter {name}: {reason}", reporter=name, reason=reason)
