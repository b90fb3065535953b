"""A balancer in memory, as far as replicas need one: targets, their health, and the requests in flight to them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Stamp


@dataclass
class _Registered:
    """One target and its state."""

    target: Target
    state: TargetState
    since: Stamp
    state_since: Stamp


class FakeBalancer:
    """The targets of one target group. `is_up` says whether a target's health check passes.

    A test opens requests with `in_flight`, and injects faults with `fail`.
    """

    def __init__(self, *, is_up: Callable[[str], bool], now: Callable[[], Stamp]) -> None:
        self._is_up = is_up
        self._now = now
        self._lock = threading.RLock()
        self._targets: dict[str, _Registered] = {}
        self._errors: dict[str, deque[Exception]] = {}
        self.in_flight: Counter[str] = Counter()
        self.endless: set[str] = set()
        """Targets whose requests stay open even when they are aborted."""
        self.aborted: list[str] = []
        self.enabled: tuple[str, ...] = ()
        """The zones of the load balancers."""
        self.after_deregistration: Callable[[], object] = lambda: None
        self.check_result = "Health checks failed: Connection refused"

    def fail(self, call: str, error: Exception) -> None:
        """Let the next call of a method raise `error`."""
        self._errors.setdefault(call, deque()).append(error)

    def states(self) -> dict[str, TargetState]:
        """Return the state of each target, as last seen."""
        with self._lock:
            return {name: registered.state for name, registered in self._targets.items()}

    def draining_since(self, name: str) -> Stamp | None:
        """Return when a target was deregistered; None if it was not."""
        with self._lock:
            found = self._targets.get(name)
            return found.since if found and found.state is TargetState.DRAINING else None

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Check every target and return its health."""
        with self._lock:
            self._raise("target_health")
            for registered in self._targets.values():
                self._check(registered)
            return tuple(self._health(registered) for registered in self._targets.values())

    def zones(self, owner: str, group: str) -> tuple[str, ...]:
        """Return the zones of the load balancers."""
        return self.enabled

    def reconciled_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the health of every target. This balancer admits a target as soon as it is up."""
        return self.target_health(owner, group)

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets, which get no requests before a check has passed."""
        with self._lock:
            self._raise("register")
            for target in targets:
                self._targets[target.id] = _Registered(target, TargetState.INITIAL, self._now(), self._now())

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Stop new requests to a target."""
        with self._lock:
            self._raise("deregister")
            found = self._targets[target_id]
            if found.state is not TargetState.DRAINING:
                found.state, found.since = TargetState.DRAINING, self._now()
            self.after_deregistration()

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Close the open requests of a target."""
        with self._lock:
            self._raise("abort_connections")
            self.aborted.append(target_id)
            if target_id not in self.endless:
                self.in_flight[target_id] = 0

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a target."""
        with self._lock:
            self._raise("remove_target")
            self._targets.pop(target_id, None)

    def _check(self, registered: _Registered) -> None:
        state, name = registered.state, registered.target.id
        if state is TargetState.DRAINING:
            return
        if self._is_up(name):
            state = TargetState.HEALTHY
        elif state is TargetState.HEALTHY:
            state = TargetState.UNHEALTHY
        if state is not registered.state:
            registered.state, registered.state_since = state, self._now()

    def _health(self, registered: _Registered) -> TargetHealth:
        well = registered.state is TargetState.HEALTHY
        return TargetHealth(
            target=registered.target,
            state=registered.state,
            description="" if well else self.check_result,
            in_flight=self.in_flight[registered.target.id],
            state_age=self._now().since(registered.state_since),
            since=registered.since,
        )

    def _raise(self, call: str) -> None:
        if errors := self._errors.get(call):
            raise errors.popleft()
