"""Supervision of the data plane while the daemon runs.

The kernel reports the exit of the process, so the restart begins at once. The supervisor holds the listening sockets,
so new connections wait for the restart instead of being refused.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import structlog

from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.event_kinds import EventKind

# Seconds between checks for changed certificates and keys.
_RELOAD_INTERVAL = 60.0
# A data plane that hangs is replaced within ten seconds. Deployments reconcile their own groups and do not wait.
_INTERVAL = timedelta(seconds=2)
_logger = structlog.get_logger(__name__)


class BalancerSupervisor:
    """Reconciles the balancer every two seconds, and starts its data plane immediately after it died.

    `emit` receives the events, from two threads.
    """

    def __init__(
        self,
        balancer: Balancer,
        emit: Callable[[EventKind, str], None],
        clock: Clock,
        interval: timedelta = _INTERVAL,
    ) -> None:
        self._balancer = balancer
        self._emit = emit
        self._clock = clock
        self._interval = interval
        self._stopping = threading.Event()
        self._last_reported = ""
        self._last_pid: int | None = None
        self._maintained: float | None = None

    def run_forever(self) -> None:
        """Run until `stop`."""
        # A call to a data plane that a signal has stopped waits for the response, so this needs a thread of its own.
        resuming = threading.Thread(target=self._resume_forever, name="balancer-resume", daemon=True)
        resuming.start()
        with self._hold_sockets():
            while not self._stopping.is_set():
                if self._run_once():
                    self._wait()
                else:
                    self._clock.wait(self._stopping, self._interval / 2)
        resuming.join()

    def stop(self) -> None:
        """Request the end of `run_forever`. Returns at once."""
        self._stopping.set()

    @contextmanager
    def _hold_sockets(self) -> Iterator[None]:
        """Hold the listening sockets, if the data plane supports it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._balancer.standby())
            except (PenstockError, OSError) as error:
                _logger.warning("connections are refused while HAProxy restarts", error=str(error))
            yield

    def _run_once(self) -> bool:
        """Start and reconcile the data plane if it is needed. Return whether it is needed and runs."""
        try:
            needed = not self._balancer.registry().is_empty
            if needed:
                self._ensure()
            else:
                self._last_pid = self._maintained = None
        except PenstockError as error:
            if error.message != self._last_reported:
                self._emit(EventKind.BALANCER_FAILED, error.message)
                self._last_reported = error.message
            return False
        self._last_reported = ""
        return needed

    def _ensure(self) -> None:
        now = self._clock.monotonic()
        if self._maintained is None or now - self._maintained >= _RELOAD_INTERVAL:
            started, self._maintained = self._balancer.ensure_running(), now
        else:
            started = self._balancer.reconcile()
        pid = self._balancer.pid()
        # A command may have restarted it before the daemon did. That is a restart too.
        if started or self._last_pid not in (None, pid):
            self._emit(EventKind.BALANCER_RESTARTED, "HAProxy was not running or did not respond, restarted it")
        # It may have just died. A command that restarts it before the next round must not go unnoticed.
        self._last_pid = pid or self._last_pid

    def _resume_forever(self) -> None:
        while not self._clock.wait(self._stopping, self._interval):
            # The supervision reports a registry that cannot be read.
            with suppress(PenstockError):
                if self._balancer.registry().is_empty:
                    continue
                if resumed := self._balancer.resume():
                    names = ", ".join(map(str, resumed))
                    text = f"HAProxy was stopped by a signal (pid {names}), continued it"
                    self._emit(EventKind.BALANCER_RESUMED, text)

    def _wait(self) -> None:
        """Wait until the process of the data plane exits, at most for the interval."""
        try:
            watched = os.pidfd_open(self._last_pid) if self._last_pid else None
        except ProcessLookupError:
            return
        except OSError:
            watched = None
        if watched is None:
            self._clock.wait(self._stopping, self._interval / 2)
            return
        try:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            poll.poll(self._interval / timedelta(milliseconds=1))
        finally:
            os.close(watched)
