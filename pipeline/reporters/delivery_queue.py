"""The queue and the thread of one reporter, so that a run never waits for it."""

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
# Limit of the pause that a receiver requests. GitHub's rate limit is reset every hour.
_MAX_PAUSE = timedelta(hours=1)
# The same, after the run has finished. The process may be a command that its user waits for.
_MAX_LAST_PAUSE = timedelta(minutes=1)

# In seconds, for the attempt after such a pause.
_MIN_LAST_ATTEMPT = 5.0

# Called for each failed message with the reporter's name and a reason without secrets.
Failed = Callable[[str, str], None]


class DeliveryQueue:
    """Delivers messages to a reporter in order. Each has up to five attempts, 1, 2, 4 and 8 seconds apart."""

    def __init__(self, name: str, reporter: Reporter, secrets: Secrets, failed: Failed, clock: Clock) -> None:
        self.needs_commit = reporter.needs_commit
        self._name = name
        self._reporter = reporter
        self._secrets = secrets
        self._failed = failed
        self._clock = clock
        self._queue: SimpleQueue[Report | None] = SimpleQueue()
        self._aborted = threading.Event()
        # The time of a retry that the receiver has requested last.
        self._resumes_at = 0.0
        self._thread = threading.Thread(target=self._run_forever, name=f"reporter {name}", daemon=True)
        self._thread.start()

    def put(self, report: Report) -> None:
        """Queue a message. Returns immediately."""
        self._queue.put(report)

    def end(self) -> None:
        """Close the queue for new messages. Returns immediately."""
        self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait until all messages are delivered. Call `end` first.

        After `timeout` seconds, or up to a minute if the receiver requests a pause, the other messages are dropped, and
        a failure is reported.
        """
        self._thread.join(timeout)
        pause = self._resumes_at - self._clock.monotonic()
        if self._thread.is_alive() and 0 < pause <= _MAX_LAST_PAUSE.total_seconds():
            self._thread.join(pause + max(timeout, _MIN_LAST_ATTEMPT))
        if self._thread.is_alive():
            self._aborted.set()
            self._failed(self._name, "the run has finished, and some messages were not delivered in time")

    def _run_forever(self) -> None:
        while (report := self._queue.get()) is not None and not self._aborted.is_set():
            reason = self._deliver(report)
            if reason and not self._aborted.is_set():
                self._failed(self._name, Mask(self._secrets.values())(f"{report.event.kind}: {reason}"))

    def _deliver(self, report: Report) -> str:
        """Return the reason of a failed delivery, or an empty text."""
        reason, backoff = "", _BACKOFF
        for attempt in range(ATTEMPTS):
            try:
                self._reporter.report(report, self._secrets.resolve)
            except DeliveryFailed as error:
                reason = str(error)
                if not error.retryable or attempt == ATTEMPTS - 1:
                    return reason
                requested = timedelta(seconds=min(error.retry_after, _MAX_PAUSE.total_seconds()))
                self._resumes_at = self._clock.monotonic() + requested.total_seconds()
                if self._clock.wait(self._aborted, max(requested, backoff.delay())):
                    return reason
                backoff = backoff.after(succeeded=False)
            except PenstockError as error:
                return error.message
            except Exception as error:  # noqa: BLE001  # a reporter may raise anything, and the run continues
                return repr(error)
            else:
                return ""
        return reason
