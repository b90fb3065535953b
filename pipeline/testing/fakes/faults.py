"""Faults that a test injects into the calls of a fake."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from pipeline.base.errors import EngineFault

# Seconds that a test waits for a call that hangs. Longer means that the call is never made.
_DEADLINE = 30


class _Lost:
    """The outcome of a call that takes effect and loses its response."""


class Hang:
    """Calls that do not return before `release`, or before the engine goes away."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self.waiting = 0
        self.released = False

    def wait_until_called(self, count: int = 1) -> None:
        """Return when `count` calls hang. Raises `AssertionError` if they are not made."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.waiting >= count, _DEADLINE):
                raise AssertionError(f"{self.waiting} calls hang, expected {count}")

    def release(self) -> None:
        """Let the calls continue, and all later ones pass."""
        with self._changed:
            self.released = True
            self._changed.notify_all()


class Faults:
    """The calls of a fake that fail, hang or lose their response. The fake passes each call through `call`.

    Safe to use from any thread. Calls are named after their method.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._outcomes: defaultdict[str, deque[Exception | _Lost | None]] = defaultdict(deque)
        self._hangs: dict[tuple[str, bool], Hang] = {}
        self.gone = False
        self.parent: Faults | None = None
        self.calls: Counter[str] = Counter()
        """The number of calls per method."""

    def of_connection(self) -> Faults:
        """Return the same faults for a separate connection, which may also go away alone."""
        connection = copy(self)
        connection.parent, connection.gone = self, False
        return connection

    def fail(self, call: str, error: Exception, *, times: int = 1, after: int = 0) -> None:
        """Let calls raise `error` instead of doing anything, after the next `after` ones have passed."""
        with self._changed:
            self._outcomes[call].extend([None] * after + [error] * times)

    def lose_answer(self, call: str, *, after: int = 0) -> None:
        """Let a call take effect and still raise `EngineFault`, as if the engine had died meanwhile."""
        with self._changed:
            self._outcomes[call].extend([*[None] * after, _Lost()])

    def clear(self) -> None:
        """Remove all injected failures."""
        with self._changed:
            self._outcomes.clear()

    def hang(self, call: str, *, late: bool = False) -> Hang:
        """Let all calls wait until the returned hang is released; `late`, when they have taken effect already."""
        with self._changed:
            self._hangs[call, late] = Hang(self._changed)
            return self._hangs[call, late]

    def go_away(self) -> None:
        """Let every call fail, those that hang included."""
        with self._changed:
            self.gone = True
            self._changed.notify_all()

    def come_back(self) -> None:
        """Let calls pass again."""
        with self._changed:
            self.gone = False

    @property
    def away(self) -> bool:
        """True between `go_away` and `come_back`."""
        return self.gone or (self.parent is not None and self.parent.away)

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Enclose the effect of one call."""
        with self._changed:
            self.calls[name] += 1
            self._check_away()
            self._wait(name, late=False)
            outcome = self._outcomes[name].popleft() if self._outcomes[name] else None
        if isinstance(outcome, Exception):
            raise outcome
        yield
        with self._changed:
            self._wait(name, late=True)
        if outcome:
            raise EngineFault(f"the fake engine lost the response of {name}")

    def _wait(self, name: str, *, late: bool) -> None:
        if hang := self._hangs.get((name, late)):
            hang.waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: hang.released or self.away)
            hang.waiting -= 1
            self._check_away()

    def _check_away(self) -> None:
        if self.away:
            raise EngineFault("the fake engine is away")
