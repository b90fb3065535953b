"""The event at the start of a service's rollout: what is there, what is wanted, and how many targets stay healthy."""

from __future__ import annotations

from pipeline.event_kinds import EventKind
from pipeline.events import Events
from stages.deploy.decision import DesiredState, Replica
from stages.deploy.replicas import ReplicaSet


def emit_start(events: Events, replicas: ReplicaSet, release: int, wanted: DesiredState) -> None:
    """Emit what a run is about to do with the replicas of a service. A repair of the daemon emits what it found."""
    if events.run is None:
        return
    seen = [replica for replica in replicas.observe().replicas if replica.healthy]
    events.emit(
        EventKind.ROLLOUT_STARTED,
        _text(replicas.service, release, wanted, len(seen)),
        service=replicas.service,
        release=release,
        replicas=wanted.replicas,
        floor=wanted.min_healthy,
        healthy=len(seen),
        targets=" ".join(_named(replicas, replica) for replica in seen),
    )


def _named(replicas: ReplicaSet, replica: Replica) -> str:
    return f"{replica.name}={replicas.release_of(replica.name)}"


def _text(service: str, release: int, wanted: DesiredState, healthy: int) -> str:
    if not wanted.replicas:
        return f"{service}: {healthy} healthy, all are drained and removed"
    kept = f"{healthy} healthy now, at least {min(wanted.min_healthy, healthy)} stay so"
    return f"{service}: {wanted.replicas} of release {release} wanted, {kept if healthy else 'none healthy now'}"
