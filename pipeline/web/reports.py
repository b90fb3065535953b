"""What the pages read: the reports of the control API, made in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from pipeline.base.clock import Clock
from pipeline.daemon.control import Control

if TYPE_CHECKING:
    from pipeline.stacks.stacks import Stacks

T = TypeVar("T")


class WebReports:
    """The objects from which views and actions make the models of the API. Safe to use from any thread.

    `stacks` is None for a daemon without stacks.
    """

    def __init__(self, control: Control, clock: Clock, stacks: Callable[[], Stacks] | None = None) -> None:
        self.control = control
        self.store = control.store
        self.clock = clock
        self.stacks = stacks
        self._lock = threading.Lock()
        self._kept: dict[str, object] = {}

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """Return the object `name`, which the first call makes. For what a view must remember between two calls."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return cast("T", self._kept[name])
