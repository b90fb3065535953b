"""Results that are kept for objects that never change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class IdentityCache(Generic[_K, _V]):
    """A function whose results are kept by the identity of the argument, which costs less than its hash.

    Arguments must not change. The cache holds them, so no other object can take an identity that it knows. Of those
    that are no longer used, it holds at most twice `size`. Safe to use from any thread.
    """

    def __init__(self, function: Callable[[_K], _V], size: int) -> None:
        self._function = function
        self._size = size
        self._used: dict[int, tuple[_K, _V]] = {}
        self._before: dict[int, tuple[_K, _V]] = {}

    def __call__(self, key: _K) -> _V:
        """Return the result for this object."""
        found = self._used.get(id(key))
        if found is None:
            found = self._before.get(id(key)) or (key, self._function(key))
            if len(self._used) >= self._size:
                self._before, self._used = self._used, {}
            self._used[id(key)] = found
        return found[1]
