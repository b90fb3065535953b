"""What the pages read: the reports of the control API, made in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from pipeline.base.clock import Clock
from pipeline.http.reports import Reports

T = TypeVar("T")
_MAX_AGE = 0.5


class WebReports:
    """The objects from which views and actions make the models of the API. Safe to use from any thread.

    `stacks` is None for a daemon without stacks.
    """

    def __init__(self, reports: Reports, clock: Clock) -> None:
        self.control = reports.control
        self.store = reports.control.store
        self.clock = clock
        self.traffic = reports.traffic
        self.now = reports.now
        self.stacks = reports.stacks
        self.balancer = reports.balancer
        self._lock = threading.Lock()
        self._kept: dict[str, object] = {}
        self._shared: dict[str, _Shared] = {}
        self._is_sharing = False

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """Return the object `name`, which the first call makes. For what a view must remember between two calls."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return cast("T", self._kept[name])

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """Return a report that costs much, made by `make` unless another view has just done so.

        One that was made before the last change is not used, nor one that is half a second old. While nobody watches a
        page, no change is reported, so nothing is shared.
        """
        with self._lock:
            found = self._shared.setdefault(name, _Shared()) if self._is_sharing else _Shared()
        # Views wait here for the one that makes it.
        with found.lock:
            now = self.clock.monotonic()
            if found.made_at is None or now - found.made_at >= _MAX_AGE:
                found.report = make()
                found.made_at = now
            return cast("T", found.report)

    @contextmanager
    def sharing(self, _: Callable[[], None]) -> Iterator[None]:
        """Share reports in the `with` block, in which `forget_shared` is called for each change."""
        self._is_sharing = True
        try:
            yield
        finally:
            self._is_sharing = False
            self.forget_shared()

    def forget_shared(self) -> None:
        """Make all shared reports anew from now on, because something has changed. Also those being made."""
        with self._lock:
            self._shared = {}


class _Shared:
    """A report, and when its making began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.report: object = None
        self.made_at: float | None = None
