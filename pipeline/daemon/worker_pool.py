"""Threads for the work of all pipelines: few while nothing happens, more while some of them hang."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

# Without work for this long, a thread ends, except the last one. In seconds.
_MAX_IDLE = 5.0
# As many threads start at once. More cost memory and win nothing, unless these wait for something.
_MIN_THREADS = 8


class WorkerPool:
    """Executes calls in threads. A call that waits for long delays no other one.

    Safe to use from any thread. A call handles its own errors.
    """

    def __init__(self, name: str = "worker") -> None:
        self._name = name
        self._changed = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0
        self._is_closed = False

    @property
    def is_behind(self) -> bool:
        """True if more calls wait than threads are free. `grow` is then due after a short wait."""
        with self._changed:
            return len(self._calls) > self._idle

    def submit(self, call: Callable[[], None]) -> None:
        """Execute a call as soon as a thread is free. Returns at once."""
        with self._changed:
            self._calls.append(call)
            if len(self._calls) <= self._idle:
                self._changed.notify()
            elif self._threads < _MIN_THREADS:
                self._start_thread()

    def grow(self) -> None:
        """Start one more thread if calls still wait for one."""
        with self._changed:
            if len(self._calls) > self._idle:
                self._start_thread()

    def close(self) -> None:
        """Let each thread end when its call is done. Calls that wait are not executed. Returns at once."""
        with self._changed:
            self._is_closed = True
            self._calls.clear()
            self._changed.notify_all()

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        try:
            while (call := self._next()) is not None:
                call()
                # Otherwise it would keep its object alive until the next one.
                del call
        finally:
            with self._changed:
                self._threads -= 1

    def _next(self) -> Callable[[], None] | None:
        """Return the next call, or None if the thread is to end."""
        with self._changed:
            self._idle += 1
            try:
                timeout: float | None = _MAX_IDLE
                while not self._changed.wait_for(lambda: self._calls or self._is_closed, timeout):
                    if self._threads > 1:
                        return None
                    timeout = None
                return self._calls.popleft() if self._calls else None
            finally:
                self._idle -= 1
