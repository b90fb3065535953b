"""The release that serves, looked after while nobody deploys: what is gone, sick or strange is found and mended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetState
from pipeline.engine.docker.engine import Engine
from pipeline.store.records import Release
from stages.deploy.replicas import Fleet
from stages.deploy.rolling import Replica
from stages.deploy.service_rollout import Service
from stages.deploy.spec import ReleaseSpec

# One replacement for its health makes the next wait twice as long, up to this.
_LONGEST = timedelta(minutes=10)

# Seconds for which a process is looked at closely each time: Docker's list tells whole ones only.
_YOUNG = 5
# Until when a restart is news to whoever sees a container for the first time, in seconds. Docker's list cannot tell: it
# may have been read in the moment between two processes.
_LATELY = 60


class ServiceUpkeep:
    """Looks and mends for one pipeline; keeps its connections between looks."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._engine = Engine(context.home.id)
        self._balancer = Balancer(context.home.balancer)
        self._service = Service(context, self._engine, self._balancer)
        self._fleets: dict[str, Fleet] = {}
        self._sick: set[str] = set()
        self._states: dict[str, TargetState | None] = {}
        self._began: dict[str, datetime] = {}
        self._replaced = 0

    def close(self) -> None:
        """Let go of the connection to Docker."""
        self._engine.close()

    def amiss(self) -> list[str]:
        """What differs from the release that serves, in words."""
        found = self._release()
        if found is None:
            return []
        release, spec = found
        fleet = self._fleet(spec)
        replicas = fleet.observe().replicas
        self._tell_changes(replicas)
        self._tell_restarts(fleet, replicas)
        template = self._template(fleet, replicas, release, spec)
        wanted = [r for r in replicas if r.template == template and r.runs and not r.leaving]
        patience = self._patience(spec)
        self._sick = {r.name for r in wanted if r.target is TargetState.UNHEALTHY and r.waiting > patience}
        if all(r.healthy for r in wanted):
            self._replaced = 0
        return [
            *(["what is declared is not what the balancer has"] if self._undeclared(spec) else []),
            *_missing(len(wanted), spec.deploy.replicas),
            *(f"{r.name} is not of release {release.number}, or has ended" for r in replicas if r not in wanted),
            *(f"{r.name} is no target" for r in wanted if r.target is None),
            *(f"{name} has another address than its target" for name in fleet.moved()),
            *(f"{name} has been unhealthy for more than {patience.total_seconds():g} s" for name in self._sick),
        ]

    def mend(self, cancelled: threading.Event) -> None:
        """Bring back what `amiss` misses, by the gates of every deployment."""
        found = self._release()
        if found is None:
            return
        release, spec = found
        fleet = self._fleet(spec)
        replicas = fleet.observe().replicas
        template = self._template(fleet, replicas, release, spec)
        for name in fleet.moved():
            # Nobody answers at its old address any more: what it could still finish, it has lost.
            fleet.forget(name)
        self._replaced += bool(self._sick)
        self._service.serve(spec, release.number, cancelled, template=template, patience=self._patience(spec))

    def _tell_changes(self, replicas: Iterable[Replica]) -> None:
        """What mends itself, or may yet, is told all the same."""
        for replica in replicas:
            was, now = self._states.get(replica.name), replica.target
            if (was, now) == (TargetState.HEALTHY, TargetState.UNHEALTHY):
                text = f"{replica.name} is unhealthy: {replica.reason}"
                self._context.events.emit("target.unhealthy", text, target=replica.name)
            if (was, now) == (TargetState.UNHEALTHY, TargetState.HEALTHY):
                text = f"{replica.name} is healthy again and gets requests"
                self._context.events.emit("target.healthy", text, target=replica.name)
        self._states = {replica.name: replica.target for replica in replicas}

    def _tell_restarts(self, fleet: Fleet, replicas: Iterable[Replica]) -> None:
        """Docker starts again what has ended by itself, and may do so before a check of the balancer misses it."""
        began = {}
        for name in (replica.name for replica in replicas):
            known, seconds = self._began.get(name), fleet.running_for(name)
            if known and _may_be_as_old(known, seconds):
                began[name] = known
                continue
            found = fleet.inspect(name)
            if found is None or found.began_at is None:
                continue
            began[name] = found.began_at
            # Of one that is seen for the first time, Docker knows; it may be long ago.
            if found.began_at > known if known else found.restarts > 0 and _age(found.began_at) < _LATELY:
                text = f"{name} had ended, and was started again"
                self._context.events.emit("target.restarted", text, target=name)
        self._began = began

    def _release(self) -> tuple[Release, ReleaseSpec] | None:
        active = self._context.store.active_release(self._pipeline)
        return (active, _read(active.spec)) if active else None

    def _fleet(self, spec: ReleaseSpec) -> Fleet:
        group = spec.deploy.target_group
        if group not in self._fleets:
            self._fleets[group] = Fleet(self._engine, self._balancer, self._pipeline, group)
        return self._fleets[group]

    def _patience(self, spec: ReleaseSpec) -> timedelta:
        return min(spec.deploy.unhealthy_timeout * (1 << min(self._replaced, 16)), _LONGEST)

    def _undeclared(self, spec: ReleaseSpec) -> bool:
        return self._balancer.declared(self._pipeline) != spec.balancer

    def _template(self, fleet: Fleet, replicas: Iterable[Replica], release: Release, spec: ReleaseSpec) -> str:
        """What its containers are made from: as they were, whatever a secret has become since."""
        own = Counter(r.template for r in replicas if r.template and fleet.release_of(r.name) == str(release.number))
        return own.most_common(1)[0][0] if own else spec.template(self._service.secrets)


# It is looked at every second.
@lru_cache(maxsize=16)
def _read(spec: str) -> ReleaseSpec:
    return ReleaseSpec.model_validate_json(spec)


def _missing(count: int, replicas: int) -> list[str]:
    if count < replicas:
        return [f"{replicas - count} of {replicas} containers are missing"]
    return [f"{count - replicas} containers too many"] if count > replicas else []


def _may_be_as_old(began: datetime, seconds: int | None) -> bool:
    """Whether what has run for so many whole seconds (None: for long, or not at all) is what began then."""
    return seconds is None or (seconds > _YOUNG and _age(began) < seconds + 1)


def _age(began: datetime) -> float:
    return (datetime.now(UTC) - began).total_seconds()
