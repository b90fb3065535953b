"""Observes, decides and acts until the replicas are as desired. Keeps nothing that the next process would need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pipeline.balancer.model import TargetState
from pipeline.base.errors import Cancelled, HostLost, PenstockError, StageFailed
from pipeline.engine.denial import denial_hint, hint_at_denials
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from stages.deploy.decision import (
    ActionType,
    DesiredState,
    Replica,
    ReplicaFailure,
    RolloutAction,
    RolloutDecision,
    Strategy,
)
from stages.deploy.replicas import ReplicaSet
from stages.deploy.running_targets import PROBE_RESULTS

# Seconds between two observations. A drained target waits half of it on average.
_POLL_SECONDS = 0.025
_MAX_PARALLEL_ACTIONS = 16
# Report a new target whose checks still fail after this long. Before, it may just be starting.
_WARN_AFTER = timedelta(seconds=5)
# HAProxy has two messages for a refused connection.
_REFUSALS = ("Connection refused", "Layer4 connection problem")
_REFUSED_HINT = (
    "check that the app listens on the target group's port and on 0.0.0.0: an app on 127.0.0.1 inside a container "
    "cannot be reached"
)
# Report sooner if the checks get a response that applications send for an unknown host.
_WARN_ABOUT_HOST_AFTER = timedelta(seconds=1)
_HOST_REFUSALS = ("[400]", "[403]", "[421]")
_HOST_HINT = (
    "the application may refuse the Host header of the check, the target's address: set health_check.host to a name "
    "that it accepts, such as one in ALLOWED_HOSTS of Django or config.hosts of Rails"
)
# Of a circuit breaker.
_SHOWN_FAILURES = 3
_NO_PATH = "[404]"
_PATH_HINT = "the application has no such page: set health_check.path of the target group to one that it serves"


_PROBE_HINT = (
    "if the HEALTHCHECK of the image is for another program than this service runs, set health_check.command or "
    "health_check.uptime of the service"
)


class ReleaseFailed(StageFailed):
    """A release did not become healthy. `tail` holds the last lines of the container that failed."""


class RolloutExecutor:
    """One rollout to one release, whose replicas are made from `spec`, or to nothing if `spec` is None.

    A replica gets `restart` as its policy once it is healthy. `wait` passes the seconds between two observations while
    no action is in progress, and returns earlier if the rollout is cancelled. `healthy_text` says what a new target in
    a target group is once it is healthy.
    """

    def __init__(
        self,
        replicas: ReplicaSet,
        desired: DesiredState,
        strategy: Strategy,
        events: Events,
        *,
        spec: ReplicaSpec | None = None,
        restart: RestartPolicy = RestartPolicy.NO,
        cancelled: threading.Event | None = None,
        wait: Callable[[float], object] | None = None,
        healthy_text: str = "is healthy and gets requests",
    ) -> None:
        self._replicas = replicas
        self._desired = desired
        self._strategy = strategy
        self._events = events
        self._spec = spec
        self._restart = restart
        self._cancelled = cancelled or threading.Event()
        self._pause = wait or self._cancelled.wait
        self._healthy_text = healthy_text
        self._pending: dict[Future[None], str] = {}
        self._seen: dict[str, Replica] = {}
        self._aborted: set[str] = set()
        self._late: set[str] = set()
        self._failures: list[ReplicaFailure] = []

    def run(self) -> None:
        """Return when everything is as desired. Raises `ReleaseFailed`, `Cancelled` or a `SystemFault`."""
        with self.rounds() as next_round:
            while not (decision := next_round()).converged:
                # A target that was just deregistered usually has nothing in flight, and can be stopped immediately.
                if not any(action.verb is ActionType.DEREGISTER for action in decision.actions):
                    self._wait()

    @contextmanager
    def rounds(self) -> Iterator[Callable[[], RolloutDecision]]:
        """Yield what observes, decides and acts once, and returns the decision. It raises as `run`.

        The end of the block waits for actions in progress.
        """
        with ThreadPoolExecutor(_MAX_PARALLEL_ACTIONS, thread_name_prefix="deploy") as pool:
            yield partial(self._round, pool)
        ended = [*self._pending]
        self._pending.clear()
        for future in ended:
            # The next round finds what one of them has not done. Another error is a fault of the program.
            if not isinstance(future.exception(), PenstockError | None):
                future.result()

    def _round(self, pool: ThreadPoolExecutor) -> RolloutDecision:
        self._reap()
        if self._cancelled.is_set():
            raise Cancelled("cancelled while deploying")
        found = self._replicas.observe(frozenset(self._pending.values()), reconcile=True)
        seen = replace(found, failures=tuple(self._failures))
        self._emit_changes(seen.replicas)
        self._notify(seen.replicas)
        decision = self._strategy.decide(seen, self._desired)
        for failure in decision.counted:
            self._count(failure)
        if decision.failure:
            self._fail(decision.failure)
        if not decision.converged:
            for action in decision.actions:
                self._execute(action, pool)
        return decision

    def _wait(self) -> None:
        if self._pending:
            wait(self._pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        else:
            self._pause(_POLL_SECONDS)

    def _reap(self) -> None:
        """Reap the actions that have returned. The error of one ends the rollout after the others have returned."""
        done = [future for future in self._pending if future.done()]
        for future in done:
            del self._pending[future]
            future.result()

    def _execute(self, action: RolloutAction, pool: ThreadPoolExecutor) -> None:
        """Execute quick actions immediately and in order, and actions of the runtime in the background."""
        steps: dict[ActionType, Callable[[str], None]] = {
            ActionType.REGISTER: self._register,
            ActionType.DEREGISTER: self._deregister,
            ActionType.ABORT: self._abort,
        }
        slow: dict[ActionType, Callable[[str], None]] = {
            ActionType.START: self._start,
            ActionType.SET_RESTART_POLICY: self._set_restart_policy,
            ActionType.STOP: self._stop,
            ActionType.REMOVE: self._remove,
        }
        if action.verb in steps:
            steps[action.verb](action.name)
        else:
            starts = action.verb is ActionType.START
            name = self._replicas.reserve(self._release, action.zone) if starts else action.name
            self._pending[pool.submit(slow[action.verb], name)] = name

    def _start(self, name: str) -> None:
        assert self._spec is not None
        self._emit(EventKind.CONTAINER_STARTING, f"{name} starting", name)
        try:
            with hint_at_denials("deploy", self._spec.privileges, self._spec.pids):
                self._replicas.start(name, self._spec)
        except HostLost as lost:
            # The next observation shows that a replica is missing, and another host gets one.
            self._emit_warning(f"{lost.message}; another one is started elsewhere")
            return
        self._emit(EventKind.CONTAINER_STARTED, f"{name} started", name)

    def _register(self, name: str) -> None:
        assert self._spec is not None
        zone, host = self._replicas.register(name, self._spec.port), self._replicas.host_of(name)
        wanted = self._replicas.wanted_zone(name)
        place = f"{f' on {host}' if host else ''}{f' in {zone}' if zone else ''}"
        if wanted and host and zone != wanted:
            place += f", because no host of {wanted} takes replicas and answers"
        self._emit(EventKind.TARGET_REGISTERED, f"{name} registered{place}, waiting for its health checks", name)

    def _set_restart_policy(self, name: str) -> None:
        self._replicas.set_restart_policy(name, self._restart)

    def _deregister(self, name: str) -> None:
        self._replicas.deregister(name)
        seen = self._seen[name]
        was_new = seen.target is TargetState.INITIAL and not seen.in_flight
        if not self._replicas.in_target_group:
            text = "is taken out of service"
        elif was_new:
            text = "deregistered before it got a request"
        else:
            text = f"gets no more requests, {seen.in_flight} in flight"
        self._emit(EventKind.TARGET_DRAINING, f"{name} {text}", name)

    def _abort(self, name: str) -> None:
        self._replicas.abort_connections(name)
        if name not in self._aborted:
            self._aborted.add(name)
            delay = self._desired.deregistration_delay.total_seconds()
            in_flight = self._seen[name].in_flight
            self._emit(
                EventKind.TARGET_REQUESTS_ABORTED,
                f"{name}: deregistration delay of {delay:g} s expired, aborted {in_flight} in flight",
                name,
            )

    def _notify(self, replicas: tuple[Replica, ...]) -> None:
        """Notify replicas that drain: the process that deregistered one may have been killed before it told it."""
        for replica in replicas:
            if replica.is_draining and replica.in_flight:
                self._replicas.notify(replica.name)

    def _stop(self, name: str) -> None:
        state = "is drained, stopping" if self._replicas.in_target_group else "stopping"
        self._emit(EventKind.CONTAINER_STOPPING, f"{name} {state}", name)
        killed = self._replicas.stop(name)
        text = f"{name} was killed: {killed}" if killed else f"{name} stopped"
        self._emit(EventKind.CONTAINER_STOPPED, text, name)

    def _remove(self, name: str) -> None:
        self._replicas.remove(name)
        self._emit(EventKind.CONTAINER_REMOVED, f"{name} removed", name)

    def _emit_changes(self, replicas: tuple[Replica, ...]) -> None:
        """Report the changes of health since the last observation."""
        for replica in replicas:
            before = self._seen.get(replica.name)
            was = before.target if before else None
            if replica.target is TargetState.HEALTHY and was is not TargetState.HEALTHY and before:
                what = self._healthy_text if self._replicas.in_target_group else "is healthy"
                self._emit(EventKind.TARGET_HEALTHY, f"{replica.name} {what}", replica.name)
            if replica.target is TargetState.UNHEALTHY and was is TargetState.HEALTHY:
                self._emit(EventKind.TARGET_UNHEALTHY, f"{replica.name} is unhealthy: {replica.reason}", replica.name)
            if _is_late(replica) and replica.name not in self._late:
                self._late.add(replica.name)
                text = f"{replica.name} is not healthy yet: {replica.reason}"
                hint = _hint(replica.reason)
                self._emit(EventKind.TARGET_NOT_HEALTHY, f"{text}; {hint}" if hint else text, replica.name)
        self._seen = {r.name: r for r in replicas}

    def _emit_warning(self, text: str) -> None:
        self._events.emit(EventKind.DEPLOYMENT_WARNING, text)

    def _emit(self, kind: EventKind, message: str, name: str) -> None:
        healthy = sum(r.healthy for r in self._seen.values())
        release = self._release if kind.startswith("container.start") else self._replicas.release_of(name)
        service = self._replicas.service
        self._events.emit(kind, message, target=name, service=service, release=release, healthy=healthy)

    @property
    def _release(self) -> int:
        return self._spec.release if self._spec else 0

    def _count(self, failure: ReplicaFailure) -> None:
        """Keep a failure, and report it if others may follow."""
        reason = self._reason(failure)
        self._failures.append(ReplicaFailure(failure.name, reason))
        if threshold := self._desired.failure_threshold:
            count = f"failure {len(self._failures)} of {threshold}"
            self._emit(EventKind.TARGET_FAILED, f"{failure.name} failed: {reason}; {count}", failure.name)

    def _reason(self, failure: ReplicaFailure) -> str:
        """Return the reason of a failure, with the way in which the container exited."""
        exited = not self._seen[failure.name].is_running
        return self._replicas.exit_reason(failure.name) if exited else failure.reason

    def _fail(self, failure: ReplicaFailure) -> None:
        reason = self._reason(failure)
        tail = self._replicas.log_tail(failure.name)
        # A program that was denied a privilege may run without listening.
        hint = denial_hint(tail, "deploy", self._spec.privileges, self._spec.pids) if self._spec else None
        message = f"{failure.name} failed: {reason}"
        if threshold := self._desired.failure_threshold:
            last = "; ".join(f"{each.name}: {each.reason}" for each in self._failures[-_SHOWN_FAILURES:])
            message = f"the circuit breaker ended it: {len(self._failures)} of {threshold} containers failed: {last}"
        raise ReleaseFailed(message, hint=hint or _hint(reason), tail=tail)


def _is_late(replica: Replica) -> bool:
    """Return whether a new target has been waiting to become healthy for long enough to report it."""
    if replica.target is not TargetState.INITIAL or not replica.started_here:
        return False
    refused = any(code in replica.reason for code in _HOST_REFUSALS)
    return replica.not_healthy_for > (_WARN_ABOUT_HOST_AFTER if refused else _WARN_AFTER)


def _hint(reason: str) -> str | None:
    """Return what to do about the reason of a failed check, or None."""
    if any(sign in reason for sign in _REFUSALS):
        return _REFUSED_HINT
    if any(text in reason for text in PROBE_RESULTS):
        return _PROBE_HINT
    if _NO_PATH in reason:
        return _PATH_HINT
    return _HOST_HINT if any(code in reason for code in _HOST_REFUSALS) else None
