"""The hosts on which a plan would start replicas. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.placement import Candidate, choose_host


class PlannedHost(NamedTuple):
    """A host and its zone."""

    name: str
    zone: str


class PlannedPlacement:
    """Chooses hosts as the runtime would, while a rollout is simulated.

    `present` has host and template of each replica of the service that exists. `lost` names the hosts that do not
    answer.
    """

    def __init__(
        self, cluster: ClusterSpec, present: Mapping[str, tuple[str, str]], lost: Collection[str] = ()
    ) -> None:
        self._cluster = cluster
        self._places = dict(present)
        self._lost = lost

    def place(self, name: str, template: str, zone: str | None) -> PlannedHost | None:
        """Return the host of a new replica, None if no host takes replicas and answers."""
        places = [*self._places.values()]
        candidates = [
            Candidate(
                host.name,
                host.spec.zone,
                equal=places.count((host.name, template)),
                all=sum(place == host.name for place, _ in places),
                is_lost=host.name in self._lost,
            )
            for host in self._cluster.hosts
            if host.takes_replicas
        ]
        policy = self._cluster.placement
        chosen = choose_host(candidates, policy, zone) or choose_host(candidates, policy)
        if chosen is None:
            return None
        self._places[name] = (chosen, template)
        return PlannedHost(chosen, next(each.zone for each in candidates if each.name == chosen))

    def remove(self, name: str) -> None:
        """Note that a replica is gone."""
        self._places.pop(name, None)
