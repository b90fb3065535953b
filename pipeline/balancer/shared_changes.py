"""Changes of the registry that threads make at the same time, carried out together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.balancer.jwks import with_keys
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.registry import Registry

# The time for which a call waits for further changes, as a share of the last one.
_PAUSE = 0.15


@dataclass
class PendingChange:
    """A change by a function, which was computed from the registry `seen` before the lock was taken.

    `keys` are those of its issuers. `soon`: the data plane may follow later. `result` is the registry right after the
    change, and `error` what it has raised. Both count once it `is_over`.
    """

    owner: str
    change: Callable[[Registry], Registry]
    seen: Registry
    wanted: Registry
    keys: Mapping[str, KeySet] = field(default_factory=dict)
    soon: bool = False
    result: Registry | None = None
    error: BaseException | None = None
    is_over: bool = False

    def applied_to(self, registry: Registry) -> Registry:
        """Return the registry after the change, or the same one if the change raises."""
        try:
            changed = self.wanted if registry is self.seen else self.change(registry)
            self.result = registry if changed is registry else with_keys(changed, self.keys)
        except Exception as error:  # noqa: BLE001  # the thread that wants the change gets it
            self.error = error
            return registry
        return self.result

    def outcome(self) -> Registry:
        """Return the registry right after the change, or raise its error."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class SharedChanges:
    """Hands changes to `carry_out`, one call at a time. Those that come during a call share the next one.

    A check and a reload of the data plane take longer than everything else of a change, and they take no longer for
    several changes. Safe to use from any thread.
    """

    def __init__(self, carry_out: Callable[[Sequence[PendingChange]], None]) -> None:
        self._carry_out = carry_out
        self._turn = threading.Condition()
        self._is_busy = False
        self._pause = 0.0
        self._waiting: list[PendingChange] = []

    @property
    def waiting(self) -> int:
        """The number of changes that wait for the end of a call."""
        return len(self._waiting)

    def make(self, change: PendingChange) -> Registry:
        """Carry out a change. Return the registry right after it, or raise its error."""
        with self._turn:
            self._waiting.append(change)
            self._turn.wait_for(lambda: change.is_over or not self._is_busy)
            if change.is_over:
                return change.outcome()
            self._is_busy = True
            self._turn.wait(self._pause)
            changes, self._waiting = self._waiting, []
        started = time.monotonic()
        try:
            self._carry_out(changes)
        except BaseException as error:  # noqa: BLE001  # each thread raises it
            for each in changes:
                each.error = each.error or error
        finally:
            with self._turn:
                self._is_busy = False
                # The threads that have shared this call come back with their next changes, one after the other.
                self._pause = _PAUSE * (time.monotonic() - started) if len(changes) > 1 else 0.0
                for each in changes:
                    each.is_over = True
                self._turn.notify_all()
        return change.outcome()
