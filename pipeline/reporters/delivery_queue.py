"""The way to one reporter: a queue and a thread, so that whoever tells never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.base.masking import Mask
from pipeline.config.secrets import Secrets
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import DeliveryFailed, Reporter

ATTEMPTS = 5
_BACKOFF = Backoff(timedelta(seconds=1))
# A receiver that asks for a longer pause (Retry-After) is not waited for longer than this.
_MAX_PAUSE = timedelta(minutes=1)

# Told of a message that did not arrive: the reporter's name, and why, without secrets.
Failed = Callable[[str, str], None]


class DeliveryQueue:
    """Brings messages to a reporter, in order. Each is tried up to five times, 1, 2, 4 and 8 seconds apart."""

    def __init__(self, name: str, reporter: Reporter, secrets: Secrets, failed: Failed, clock: Clock) -> None:
        self.needs_commit = reporter.needs_commit
        self._name = name
        self._reporter = reporter
        self._secrets = secrets
        self._failed = failed
        self._clock = clock
        self._queue: SimpleQueue[Report | None] = SimpleQueue()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"reporter {name}", daemon=True)
        self._thread.start()

    def put(self, report: Report) -> None:
        """Have it told. Returns at once."""
        self._queue.put(report)

    def end(self) -> None:
        """Nothing more will be put. Returns at once."""
        self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait until everything is told, after `end`. After `timeout` seconds the rest is given up, which is said."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._given_up.set()
            self._failed(self._name, "the run is over, and not everything was taken in time")

    def _work(self) -> None:
        while (report := self._queue.get()) is not None and not self._given_up.is_set():
            reason = self._deliver(report)
            if reason and not self._given_up.is_set():
                self._failed(self._name, Mask(self._secrets.values())(f"{report.event.kind}: {reason}"))

    def _deliver(self, report: Report) -> str:
        """Why it did not arrive; nothing when it did."""
        reason, backoff = "", _BACKOFF
        for attempt in range(ATTEMPTS):
            try:
                self._reporter.report(report, self._secrets.resolve)
            except DeliveryFailed as error:
                reason = str(error)
                if not error.retryable or attempt == ATTEMPTS - 1:
                    return reason
                asked = timedelta(seconds=min(error.retry_after, _MAX_PAUSE.total_seconds()))
                if self._clock.wait(self._given_up, min(_MAX_PAUSE, max(asked, backoff.delay()))):
                    return reason
                backoff = backoff.after(succeeded=False)
            except PenstockError as error:
                return error.message
            except Exception as error:  # noqa: BLE001  # whatever somebody's reporter raises: the run goes on
                return repr(error)
            else:
                return ""
        return reason
