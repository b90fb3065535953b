"""Sends copies of requests to both releases in the background."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.model import Target
from stages.deploy.mirror_client import CopyOutcome, MirrorClient

# A copy in progress is given up when the process goes on. Its thread does not keep the process alive.
_STOP_TIMEOUT = 1.0


@dataclass(frozen=True)
class CopyPair:
    """What became of both copies of a request."""

    new: CopyOutcome
    previous: CopyOutcome


@dataclass(frozen=True)
class _Work:
    """A request that is sent to a target of each release at a time of `time.monotonic`."""

    due: float
    request: LoggedRequest
    new: Target
    previous: Target


class MirrorTraffic:
    """Copies requests with `concurrency` threads. `client` makes the client of each of them.

    Each copied request goes to a container of both releases, one after the other in random order, so neither is always
    the one that finds warm caches. Both copies have the same headers and are measured in the same way. One thread calls
    all methods. `stop` must be called.
    """

    def __init__(self, client: Callable[[], MirrorClient], concurrency: int, max_waiting: int) -> None:
        self._client = client
        self._concurrency = concurrency
        self._max_open = max(concurrency, max_waiting)
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._done: deque[CopyPair | None] = deque()
        self._open = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def send(
        self, requests: Sequence[LoggedRequest], new: Sequence[Target], previous: Sequence[Target], seconds: float
    ) -> int:
        """Copy requests, spread over so many seconds from now. Return how many: too many at a time are left out."""
        self._begin()
        accepted = requests[: max(0, self._max_open - self._open)]
        now, step = time.monotonic(), seconds / max(1, len(accepted))
        for number, request in enumerate(accepted):
            # Copies need no secret randomness.
            work = _Work(now + number * step, request, random.choice(new), random.choice(previous))  # noqa: S311
            self._work.put(work)
        self._open += len(accepted)
        return len(accepted)

    def finished(self) -> list[CopyPair]:
        """Return the pairs that have finished since the last call."""
        found = [self._done.popleft() for _ in range(len(self._done))]
        self._open -= len(found)
        return [pair for pair in found if pair is not None]

    def stop(self) -> None:
        """Send no more copies. Waits a little for those in progress."""
        self._stopped.set()
        for _ in self._threads:
            self._work.put(None)
        end = time.monotonic() + _STOP_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _begin(self) -> None:
        for _ in range(self._concurrency - len(self._threads)):
            worker = _Worker(self._client, self._work, self._done, self._stopped)
            thread = threading.Thread(target=worker.run, name="mirror", daemon=True)
            thread.start()
            self._threads.append(thread)


@dataclass(frozen=True)
class _Worker:
    client: Callable[[], MirrorClient]
    work: queue.SimpleQueue[_Work | None]
    done: deque[CopyPair | None]
    stopped: threading.Event

    def run(self) -> None:
        client = self.client()
        try:
            while (work := self.work.get()) is not None and not self.stopped.wait(
                max(0.0, work.due - time.monotonic())
            ):
                self._finish(client, work)
        finally:
            client.close()

    def _finish(self, client: MirrorClient, work: _Work) -> None:
        try:
            pair = self._copy(client, work)
        # A copy that fails in a way that is not foreseen says nothing of either release, and others follow it.
        except Exception:  # noqa: BLE001
            pair = None
        self.done.append(pair)

    def _copy(self, client: MirrorClient, work: _Work) -> CopyPair | None:
        outcomes, targets = [], [work.new, work.previous]
        order = random.sample((0, 1), 2)
        for index in order:
            if self.stopped.is_set():
                return None
            outcomes.append(client.send(targets[index], work.request))
        first, second = outcomes if order[0] == 0 else reversed(outcomes)
        return CopyPair(new=first, previous=second)
