"""The requests of single target groups since the last look, at a small cost for each request."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage

from pipeline.balancer.access import AccessLog
from pipeline.base.errors import BalancerFault

# About as much as a thousand requests a second write in an interval.
_MIN_FREE_BYTES = 4 * 2**20


@dataclass(frozen=True)
class GroupLoad:
    """The requests that ended within some seconds. `times`: seconds until the response headers, in no order.

    A request without a response has no time.
    """

    seconds: float
    requests: int
    times: array[float]


@dataclass
class _Counted:
    since: float
    requests: int = 0
    times: array[float] = field(default_factory=lambda: array("d"))


class GroupLoads:
    """Reads the access log once for all target groups that are looked at. Safe to use from any thread.

    Each group has one user, to whom `take` gives what came since the previous call. `free_bytes` returns the free space
    of the disk with a path.
    """

    def __init__(
        self,
        open_log: Callable[[], AccessLog],
        monotonic: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda path: disk_usage(path).free,
    ) -> None:
        self._open_log = open_log
        self._monotonic = monotonic
        self._free_bytes = free_bytes
        self._log: AccessLog | None = None
        self._groups: dict[str, _Counted] = {}
        self._lock = threading.Lock()

    def take(self, group: str) -> GroupLoad | None:
        """Return the load of a group since the previous call. None at the first one, from which on it is counted.

        `group` is a name as records have it. Raises `BalancerFault` on a full disk, on which the log lacks requests.
        """
        with self._lock:
            self._read()
            counted, now = self._groups.get(group), self._monotonic()
            self._groups[group] = _Counted(now)
            self._check_disk()
            return GroupLoad(now - counted.since, counted.requests, counted.times) if counted else None

    def forget(self, group: str) -> None:
        """Count a group no more. Without any, the log is not read."""
        with self._lock:
            self._groups.pop(group, None)

    def _check_disk(self) -> None:
        assert self._log is not None
        folder = self._log.path.parent
        try:
            free = self._free_bytes(folder)
        except OSError as error:
            raise BalancerFault(f"cannot read {folder}: {error.strerror}") from error
        if free < _MIN_FREE_BYTES:
            raise BalancerFault(f"the disk is full, so {self._log.path} lacks requests")

    def _read(self) -> None:
        if self._log is None:
            self._log = self._open_log()
        if not self._groups:
            self._log.skip()
            return
        for request in self._log.forwarded(self._groups):
            counted = self._groups[request.group]
            counted.requests += 1
            if request.is_from_target and request.response_time is not None:
                counted.times.append(request.response_time / 1000)
