"""Observe, decide, act, until the fleet is what is wanted. Remembers nothing that the next process would need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta

from pipeline.balancer.model import TargetState
from pipeline.base.errors import Cancelled, StageFailed
from pipeline.engine.labels import LABEL_RELEASE
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling import ActionType, DesiredState, Replica, ReplicaFailure, RolloutAction, decide
from stages.deploy.spec import ReleaseSpec

# How often the world is looked at where nothing reports by itself. A drained target waits half of it on average.
_LOOK = 0.025
_AT_ONCE = 16
# A new target whose checks still fail after this long is worth a word: before, it may just be starting.
_WORTH_A_WORD = timedelta(seconds=5)
# HAProxy's two ways to say so.
_REFUSALS = ("Connection refused", "Layer4 connection problem")
_NOBODY_LISTENS = (
    "see that the app listens on the target group's port, and on 0.0.0.0: what listens on 127.0.0.1 inside a container "
    "cannot be reached"
)


class ReleaseFailed(StageFailed):
    """A release did not come into service: `tail` holds the last lines of the container that showed it."""


class RolloutExecutor:
    """One rollout to one release, or to nothing when `spec` is None."""

    def __init__(
        self,
        replica_set: ReplicaSet,
        desired: DesiredState,
        events: Events,
        *,
        spec: ReleaseSpec | None = None,
        environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._replica_set = replica_set
        self._desired = desired
        self._events = events
        self._spec = spec
        self._environment = dict(environment or {})
        self._labels = dict(labels or {})
        self._cancelled = cancelled or threading.Event()
        self._pending: dict[Future[None], str] = {}
        self._seen: dict[str, Replica] = {}
        self._cut: set[str] = set()
        self._late: set[str] = set()

    def run(self) -> None:
        """Returns when everything is as wanted. Raises `ReleaseFailed`, `Cancelled` or a `SystemFault`."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="deploy") as pool:
            while True:
                self._reap()
                if self._cancelled.is_set():
                    raise Cancelled("cancelled while deploying")
                seen = self._replica_set.observe(frozenset(self._pending.values()))
                self._tell_changes(seen.replicas)
                decision = decide(seen.replicas, seen.starting, self._desired)
                if decision.failure:
                    self._fail(decision.failure)
                if decision.converged:
                    return
                for action in decision.actions:
                    self._execute(action, pool)
                # What has just been deregistered has, more often than not, nothing in flight.
                if not any(action.verb is ActionType.DEREGISTER for action in decision.actions):
                    self._wait()

    def _wait(self) -> None:
        if self._pending:
            wait(self._pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
        else:
            self._cancelled.wait(_LOOK)

    def _reap(self) -> None:
        """Take in what has returned. An error of any action ends the rollout here, when the others have returned."""
        done = [future for future in self._pending if future.done()]
        for future in done:
            del self._pending[future]
            future.result()

    def _execute(self, action: RolloutAction, pool: ThreadPoolExecutor) -> None:
        """The quick steps at once, in order; those that Docker takes its time for in the background."""
        steps: dict[ActionType, Callable[[str], None]] = {
            ActionType.REGISTER: self._register,
            ActionType.DEREGISTER: self._deregister,
            ActionType.ABORT: self._cut_off,
        }
        slow: dict[ActionType, Callable[[str], None]] = {
            ActionType.START: self._start,
            ActionType.SET_RESTART_POLICY: self._settle,
            ActionType.STOP: self._stop,
            ActionType.REMOVE: self._remove,
        }
        if action.verb in steps:
            steps[action.verb](action.name)
        else:
            starts = action.verb is ActionType.START
            name = self._replica_set.reserve(self._labels[LABEL_RELEASE]) if starts else action.name
            self._pending[pool.submit(slow[action.verb], name)] = name

    def _start(self, name: str) -> None:
        assert self._spec is not None
        self._emit(EventKind.CONTAINER_STARTING, f"{name} starting", name)
        self._replica_set.start(name, self._spec, self._desired.template, self._environment, self._labels)
        self._emit(EventKind.CONTAINER_STARTED, f"{name} started", name)

    def _register(self, name: str) -> None:
        assert self._spec is not None
        self._replica_set.register(name, self._spec.balancer.target_groups[self._spec.deploy.target_group].port)
        self._emit(EventKind.TARGET_REGISTERED, f"{name} registered, waiting for its health checks", name)

    def _settle(self, name: str) -> None:
        assert self._spec is not None
        self._replica_set.set_restart_policy(name, self._spec.deploy.restart)

    def _deregister(self, name: str) -> None:
        self._replica_set.deregister(name)
        in_flight = self._seen[name].in_flight
        self._emit(EventKind.TARGET_DRAINING, f"{name} gets no more requests, {in_flight} in flight", name)

    def _cut_off(self, name: str) -> None:
        self._replica_set.abort_connections(name)
        if name not in self._cut:
            self._cut.add(name)
            delay = self._desired.deregistration_delay.total_seconds()
            in_flight = self._seen[name].in_flight
            self._emit(
                EventKind.TARGET_REQUESTS_ABORTED,
                f"{name} still had {in_flight} in flight after {delay:g} s: cut",
                name,
            )

    def _stop(self, name: str) -> None:
        self._emit(EventKind.CONTAINER_STOPPING, f"{name} is drained, stopping", name)
        self._replica_set.stop(name)
        self._emit(EventKind.CONTAINER_STOPPED, f"{name} stopped", name)

    def _remove(self, name: str) -> None:
        self._replica_set.remove(name)
        self._emit(EventKind.CONTAINER_REMOVED, f"{name} removed", name)

    def _tell_changes(self, replicas: tuple[Replica, ...]) -> None:
        """What no action of ours brought about: health, gained and lost."""
        for replica in replicas:
            former = self._seen.get(replica.name)
            was = former.target if former else None
            if replica.target is TargetState.HEALTHY and was is not TargetState.HEALTHY and former:
                self._emit(EventKind.TARGET_HEALTHY, f"{replica.name} is healthy and gets requests", replica.name)
            if replica.target is TargetState.UNHEALTHY and was is TargetState.HEALTHY:
                self._emit(EventKind.TARGET_UNHEALTHY, f"{replica.name} is unhealthy: {replica.reason}", replica.name)
            late = (
                replica.target is TargetState.INITIAL
                and replica.started_here
                and replica.not_healthy_for > _WORTH_A_WORD
            )
            if late and replica.name not in self._late:
                self._late.add(replica.name)
                self._emit(
                    EventKind.TARGET_NOT_HEALTHY, f"{replica.name} is not healthy yet: {replica.reason}", replica.name
                )
        self._seen = {r.name: r for r in replicas}

    def _emit(self, kind: EventKind, message: str, name: str) -> None:
        healthy = sum(r.healthy for r in self._seen.values())
        release = (
            self._labels.get(LABEL_RELEASE)
            if kind.startswith("container.start")
            else self._replica_set.release_of(name)
        )
        self._events.emit(kind, message, target=name, release=int(release or 0), healthy=healthy)

    def _fail(self, failure: ReplicaFailure) -> None:
        exited = not self._seen[failure.name].is_running
        reason = self._replica_set.exit_reason(failure.name) if exited else failure.reason
        raise ReleaseFailed(
            f"{failure.name} failed: {reason}",
            hint=_NOBODY_LISTENS if any(sign in reason for sign in _REFUSALS) else None,
            tail=self._replica_set.log_tail(failure.name),
        )
