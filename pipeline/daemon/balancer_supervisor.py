"""Keeps the data plane running, and its targets admitted, while the daemon runs.

The kernel reports a process that ends, so it is started again at once. What connects meanwhile waits in its listening
sockets, which are held here.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import structlog

from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.event_kinds import EventKind

# Changed certificates and keys are reloaded this often, in seconds.
_MAINTENANCE = 60.0
_logger = structlog.get_logger(__name__)


class BalancerSupervisor:
    """Reconciles the balancer each second, and at once when its data plane dies, in a thread. `tell` gets events."""

    def __init__(
        self,
        balancer: Balancer,
        tell: Callable[[EventKind, str], None],
        clock: Clock,
        interval: timedelta = timedelta(seconds=1),
    ) -> None:
        self._balancer = balancer
        self._tell = tell
        self._clock = clock
        self._interval = interval
        self._stopping = threading.Event()
        self._told = ""
        self._known: int | None = None
        self._maintained: float | None = None

    def run_forever(self) -> None:
        """Until `stop`."""
        with self._holding():
            while not self._stopping.is_set():
                if self._turn():
                    self._wait()
                else:
                    self._clock.wait(self._stopping, self._interval / 2)

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Hold the listening sockets, if possible."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._balancer.standby())
            except (PenstockError, OSError) as error:
                _logger.warning("connections are refused while HAProxy restarts", error=str(error))
            yield

    def _turn(self) -> bool:
        """Whether the data plane is needed; it runs then."""
        try:
            needed = not self._balancer.registry().is_empty
            if needed:
                self._ensure()
            else:
                self._known = self._maintained = None
        except PenstockError as error:
            if error.message != self._told:
                self._tell(EventKind.BALANCER_FAILED, error.message)
                self._told = error.message
            return False
        self._told = ""
        return needed

    def _ensure(self) -> None:
        now = self._clock.monotonic()
        if self._maintained is None or now - self._maintained >= _MAINTENANCE:
            started, self._maintained = self._balancer.ensure_running(), now
        else:
            started = self._balancer.reconcile()
        pid = self._balancer.pid()
        # A command may have started it before us.
        if started or self._known not in (None, pid):
            self._tell(EventKind.BALANCER_RESTARTED, "HAProxy was not running: started again")
        self._known = pid

    def _wait(self) -> None:
        """Until the process of the data plane ends, or it is time to look all the same."""
        pid = self._balancer.pid()
        try:
            watched = os.pidfd_open(pid) if pid else None
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
