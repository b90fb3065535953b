"""Results that are kept for objects that never change."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class IdentityCache(Generic[_K, _V]):
    """A function whose result for an object is kept as long as the object lives.

    Objects are told apart by identity, which costs less than their hash, so they must not change. A result must not
    refer to its object. Safe to use from any thread.
    """

    def __init__(self, function: Callable[[_K], _V]) -> None:
        self._function = function
        self._known: dict[int, tuple[weakref.ref[_K], _V]] = {}

    def __len__(self) -> int:
        """Return the number of objects that live and whose result is known."""
        return len(self._known)

    def __call__(self, key: _K) -> _V:
        """Return the result for this object."""
        number = id(key)
        found = self._known.get(number)
        if found is None or found[0]() is not key:
            # The result goes before another object can have the number.
            reference = weakref.ref(key, lambda _: self._known.pop(number, None))
            found = self._known[number] = reference, self._function(key)
        return found[1]
