"""The services of the active release as `pipeline status --json` and the control API show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.config.release import ReleaseSpec
from pipeline.engine.container import Container, ContainerHealth
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_RELEASE, LABEL_SERVICE
from pipeline.http.responses.service import ReplicaResponse, ServiceResponse
from pipeline.store.records import Release
from pipeline.store.store import Store


@dataclass(frozen=True)
class ServiceReport:
    """What was found of the replicas of a pipeline: containers, their targets by name, and their restarts."""

    containers: Sequence[Container]
    targets: Mapping[str, TargetHealth]
    restarts: Mapping[str, int]

    def responses(self, store: Store, active: Release | None) -> list[ServiceResponse]:
        """Return the services of the active release, in the order of a rollout. Without one, there are none."""
        spec = _parsed(active)
        if active is None or spec is None:
            return []
        scaled = {target.service for target in store.scaling.targets(active.pipeline)}
        found: dict[str, list[ReplicaResponse]] = {}
        for each in self.containers:
            found.setdefault(each.labels.get(LABEL_SERVICE, DEFAULT_SERVICE), []).append(self._replica(each))
        for name, replica in self._unseen(active.pipeline):
            found.setdefault(name, []).append(replica)
        return [
            ServiceResponse(
                name=name,
                image=spec.images[name].name if name in spec.images else active.image_tag,
                target_group=settings.target_group,
                wanted=store.services.wanted(active.pipeline, name),
                healthy=sum(_is_healthy(each, settings.target_group) for each in found.get(name, ())),
                is_scaled=name in scaled,
                replicas=sorted(found.get(name, ()), key=lambda replica: replica.name),
            )
            for name, settings in spec.services.items()
            if not settings.is_job
        ]

    def _replica(self, container: Container) -> ReplicaResponse:
        target = self.targets.get(container.name)
        return ReplicaResponse(
            name=container.name,
            release=int(container.labels.get(LABEL_RELEASE) or 0),
            state=container.state,
            health=str(container.health) if container.health else None,
            target=str(target.state) if target else None,
            reason=target.reason if target else "",
            description=target.description if target else "",
            in_flight=target.in_flight if target else 0,
            host=container.host,
            restarts=self.restarts.get(container.name, 0),
        )

    def _unseen(self, pipeline: str) -> list[tuple[str, ReplicaResponse]]:
        """Return the targets whose container was not listed, with their service: the engine may be silent."""
        listed = {each.name for each in self.containers}
        found = []
        for name, target in self.targets.items():
            parts = name.split(".")
            if name not in listed and len(parts) == 4 and parts[0] == pipeline:
                release = parts[2].removeprefix("r")
                replica = ReplicaResponse(
                    name=name,
                    release=int(release) if release.isdecimal() else 0,
                    state="unknown",
                    health=None,
                    target=str(target.state),
                    reason=target.reason,
                    description=target.description,
                    in_flight=target.in_flight,
                    host="",
                    restarts=0,
                )
                found.append((parts[1], replica))
        return found


def _is_healthy(replica: ReplicaResponse, group: str | None) -> bool:
    if group is not None:
        return replica.target == TargetState.HEALTHY
    return replica.state == "running" and replica.health in (None, ContainerHealth.HEALTHY)


def _parsed(release: Release | None) -> ReleaseSpec | None:
    """Return what a release consists of. A stage of another package may store something else."""
    try:
        return ReleaseSpec.parse(release.spec) if release else None
    except ValidationError:
        return None
