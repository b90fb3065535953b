"""Differences of one service from the active release, found and repaired while no deployment runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pipeline.api import StageContext
from pipeline.balancer.model import TargetState
from pipeline.base.backoff import Backoff
from pipeline.base.clock import Stamp
from pipeline.config.service_spec import ServiceSpec
from pipeline.event_kinds import EventKind
from pipeline.scaling.decision_record import DecisionRecord
from pipeline.scaling.renumbering import describe_renumbering
from stages.deploy.alternate_group import AlternateGroup
from stages.deploy.decision import Replica
from stages.deploy.exits import Exits
from stages.deploy.replicas import ReplicaSet
from stages.deploy.service_rollout import ServiceRollout

# Each replacement of an unhealthy replica doubles the wait before the next one, up to this.
_LONGEST = timedelta(minutes=10)

# Processes younger than this are inspected each time: the list gives whole seconds only.
_YOUNG = 5
# A restart of a replica that is seen for the first time is reported if it is at most this many seconds ago. The list
# alone cannot tell, because it may have been read between two processes.
_LATELY = 60


class _Process(NamedTuple):
    """A replica's process. `started` is Docker's time of its start, which only tells it from others."""

    started: datetime
    seen: Stamp


class ServiceDrift:
    """Finds and repairs the differences of one service. Remembers what it has seen between calls."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._replica_sets: dict[ServiceRollout, ReplicaSet] = {}
        self._sick: set[str] = set()
        self._states: dict[str, TargetState | None] = {}
        self._began: dict[str, _Process] = {}
        self._exits = Exits(context.clock)
        self._replaced = 0
        self._is_stable = False
        # The number of replicas that there were when no other one was wanted.
        self._settled: int | None = None

    def findings(self, rollout: ServiceRollout, spec: ServiceSpec, release: int, wanted: int) -> list[str]:
        """Return one line for each difference from `wanted` replicas of the active release."""
        # Also if the observation fails.
        self._is_stable = False
        replica_set = self._replica_set(rollout)
        replicas = replica_set.observe(reconcile=True).replicas
        self._tell_changes(replicas)
        self._tell_exits(replica_set, replicas)
        self._tell_restarts(replica_set, replicas)
        template = self._template(replica_set, replicas, spec, release)
        present = [r for r in replicas if r.is_running or self._exits.may_be_restarting(r)]
        serving = [r for r in present if r.template == template and not r.is_draining]
        limit = self._unhealthy_timeout(spec)
        self._sick = {r.name for r in serving if r.target is TargetState.UNHEALTHY and r.not_healthy_for > limit}
        if all(r.healthy for r in serving):
            self._replaced = 0
        # What is not healthy changes with time alone: it becomes healthy, or is replaced.
        self._is_stable = all(r.healthy for r in replicas)
        return [
            *self._missing(spec.name, len(serving), wanted),
            *(
                f"{r.name} {replica_set.replacement_reason(r.name) or f'is not a running replica of release {release}'}"
                for r in replicas
                if r not in serving
            ),
            *(f"targets are left in target group {group}" for group in rollout.left_groups()),
            *(
                f"{r.name} {'is not registered' if r.is_running else 'is not running'}"
                for r in serving
                if r.target is None
            ),
            *(f"{name} has another address than its target" for name in replica_set.with_stale_address()),
            *(f"{name} has been unhealthy for more than {limit.total_seconds():g} s" for name in self._sick),
        ]

    def exited(self, replica: str, exit_code: int) -> None:
        """Report an exit that the engine reports, before its list shows it."""
        if self._exits.report(replica):
            text = f"{replica} exited with code {exit_code}"
            self._context.events.emit(EventKind.TARGET_EXITED, text, target=replica)

    def is_stable(self) -> bool:
        """Return whether the last findings stay the same until the engine or the balancer reports a change."""
        return self._is_stable

    def repair(
        self,
        rollout: ServiceRollout,
        spec: ServiceSpec,
        release: int,
        wanted: int,
        cancelled: threading.Event,
        alternate: AlternateGroup | None = None,
    ) -> None:
        """Repair what `findings` returns, by the steps and limits of a deployment.

        All requests return from an `alternate` group that a failed rollback has left, and it is removed.
        """
        replica_set = self._replica_set(rollout)
        replicas = replica_set.observe().replicas
        template = self._template(replica_set, replicas, spec, release)
        for name in replica_set.with_stale_address():
            # The old address is gone, so there is nothing left to drain.
            replica_set.remove_target(name)
        # Before the count is raised: it is for the next replacement.
        timeout = self._unhealthy_timeout(spec)
        self._replaced += bool(self._sick)
        rollout.roll_out(
            spec, release, wanted, cancelled, template=template, unhealthy_timeout=timeout, alternate=alternate
        )

    def _missing(self, service: str, count: int, wanted: int) -> list[str]:
        """Return the difference between the numbers of replicas, and the reason if it is only that of scaling."""
        if count == wanted:
            self._settled = wanted
            return []
        settled = self._settled
        if settled is not None and settled != wanted and min(settled, wanted) <= count <= max(settled, wanted):
            return [describe_renumbering(settled, wanted, self._reason(service, wanted))]
        if count < wanted:
            return [f"{wanted - count} of {wanted} containers are missing"]
        return [f"{count - wanted} containers too many"]

    def _reason(self, service: str, wanted: int) -> str:
        """Return why scaling wants this number, empty if it has decided another one since."""
        targets = self._context.store.scaling.targets(self._context.configuration.pipeline.name)
        decision = next((each.decision for each in targets if each.service == service), "")
        record = DecisionRecord.model_validate_json(decision) if decision else None
        return record.reason if record and record.count == wanted else ""

    def _tell_changes(self, replicas: Iterable[Replica]) -> None:
        """Report changes of health, which may need no repair."""
        for replica in replicas:
            was, now = self._states.get(replica.name), replica.target
            if (was, now) == (TargetState.HEALTHY, TargetState.UNHEALTHY):
                text = f"{replica.name} is unhealthy: {replica.reason}"
                self._context.events.emit(EventKind.TARGET_UNHEALTHY, text, target=replica.name)
            if (was, now) == (TargetState.UNHEALTHY, TargetState.HEALTHY):
                text = f"{replica.name} is healthy again and gets requests"
                self._context.events.emit(EventKind.TARGET_HEALTHY, text, target=replica.name)
        self._states = {replica.name: replica.target for replica in replicas}

    def _tell_exits(self, replica_set: ReplicaSet, replicas: Sequence[Replica]) -> None:
        """Report exits that the engine has not reported."""
        for name in self._exits.observe(replicas):
            text = f"{name} has ended: {replica_set.exit_reason(name)}"
            self._context.events.emit(EventKind.TARGET_EXITED, text, target=name)

    def _tell_restarts(self, replica_set: ReplicaSet, replicas: Iterable[Replica]) -> None:
        """Report restarts by the engine, which may be quicker than the balancer's health check."""
        began = {}
        for name in (replica.name for replica in replicas):
            known, seconds = self._began.get(name), replica_set.running_for(name)
            if known and _may_be_as_old(self._context.clock.since(known.seen).total_seconds(), seconds):
                began[name] = known
                continue
            end = replica_set.ended(name)
            if end is None or end.process_started_at is None:
                continue
            started = end.process_started_at
            began[name] = _Process(started, self._context.clock.now())
            # A replica that is seen for the first time may have been restarted long ago.
            if started != known.started if known else end.restarts > 0 and self._is_recent(started):
                text = f"{name} exited and was restarted"
                self._context.events.emit(EventKind.TARGET_RESTARTED, text, target=name)
        self._began = began

    def _replica_set(self, rollout: ServiceRollout) -> ReplicaSet:
        if rollout not in self._replica_sets:
            self._replica_sets[rollout] = rollout.replica_set()
        return self._replica_sets[rollout]

    def _unhealthy_timeout(self, spec: ServiceSpec) -> timedelta:
        return Backoff(spec.settings.unhealthy_timeout, _LONGEST, failures=self._replaced).delay()

    def _is_recent(self, started: datetime) -> bool:
        # Docker gives the wall time of a process's start, and no other.
        return 0 <= (self._context.clock.now().wall - started).total_seconds() < _LATELY

    def _template(self, replica_set: ReplicaSet, replicas: Iterable[Replica], spec: ServiceSpec, release: int) -> str:
        """Return the template of the replicas that run, even if a secret has changed since they were started."""
        own = Counter(r.made_from for r in replicas if r.made_from and replica_set.release_of(r.name) == release)
        return own.most_common(1)[0][0] if own else spec.template(self._context.configuration.secrets)


def _may_be_as_old(age: float, seconds: int | None) -> bool:
    """Return whether what has run for so many whole seconds (None: for long, or not at all) may be that old."""
    return seconds is None or (seconds > _YOUNG and age < seconds + 1)
