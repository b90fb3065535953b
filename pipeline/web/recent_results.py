"""Results that are made again only if what they are made from has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class RecentResults:
    """The latest result for each key, with its source. The least recently used ones are forgotten.

    Safe to use from any thread. A source must not change, and is compared by `==`, which takes no time for the same
    object.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._found = OrderedDict[Hashable, tuple[object, object]]()

    def get(self, key: Hashable, source: object, make: Callable[[], T]) -> T:
        """Return the result for a key, by `make` unless it was made from an equal source."""
        with self._lock:
            known = self._found.get(key)
        if known is None or known[0] != source:
            known = source, make()
        with self._lock:
            self._found[key] = known
            self._found.move_to_end(key)
            if len(self._found) > self._size:
                self._found.popitem(last=False)
        return cast("T", known[1])
