"""Sees to it that HAProxy runs: a process that dies is noticed by the kernel's word for it, not by asking.

Who connects until it runs again waits in its listening sockets, which are held here.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import structlog

from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.event_kinds import EventKind

# How often certificates that have changed are taken over.
_RENEWAL = 60.0
_PAUSE = timedelta(seconds=0.5)
# How late it may notice that it is to end.
_LOOK = 2.0
_logger = structlog.get_logger(__name__)


class BalancerSupervisor:
    """Starts HAProxy again when it has died, in a thread. `tell` hears of it."""

    def __init__(self, balancer: Balancer, tell: Callable[[EventKind, str], None], clock: Clock) -> None:
        self._balancer = balancer
        self._tell = tell
        self._clock = clock
        self._stopping = threading.Event()
        self._told = ""
        self._known: int | None = None

    def run_forever(self) -> None:
        """Until `stop`."""
        with self._holding():
            while not self._stopping.is_set():
                if self._look():
                    self._wait()
                else:
                    self._clock.wait(self._stopping, _PAUSE)

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """With what HAProxy listens on in our hands. Where that cannot be had, it is guarded all the same."""
        try:
            holder = self._balancer.socket_holder()
        except (PenstockError, OSError) as error:
            _logger.warning("connections are refused while HAProxy restarts", error=str(error))
            yield
            return
        with closing(holder):
            threading.Thread(target=holder.run_forever, name="sockets", daemon=True).start()
            yield

    def _look(self) -> bool:
        """Whether HAProxy is needed; it runs then."""
        try:
            needed = bool(self._balancer.registry().owners)
            if needed:
                self._ensure()
            else:
                self._known = None
        except PenstockError as error:
            if error.message != self._told:
                self._tell(EventKind.BALANCER_FAILED, error.message)
                self._told = error.message
            return False
        self._told = ""
        return needed

    def _ensure(self) -> None:
        started, pid = self._balancer.ensure_running(), self._balancer.pid()
        # Whoever looks at the targets starts it too, and may have been here before us.
        if started or self._known not in (None, pid):
            self._tell(EventKind.BALANCER_RESTARTED, "HAProxy was not running: started again")
        self._known = pid

    def _wait(self) -> None:
        """Until HAProxy dies, or it is time to look all the same."""
        pid = self._balancer.pid()
        try:
            watched = os.pidfd_open(pid) if pid else None
        except ProcessLookupError:
            return
        except OSError:
            watched = None
        if watched is None:
            self._clock.wait(self._stopping, _PAUSE)
            return
        try:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            waited = 0.0
            while waited < _RENEWAL and not self._stopping.is_set() and not poll.poll(_LOOK * 1000):
                waited += _LOOK
        finally:
            os.close(watched)
