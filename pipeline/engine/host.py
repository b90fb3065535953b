"""A host: one engine, and how the balancer reaches the containers on it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.engine.interfaces import Engine


@dataclass(frozen=True)
class Host:
    """A machine that runs containers, seen from the machine of the balancer.

    `publish_on` is the address of the host that published ports bind. `reach_at` is the address at which the balancer
    reaches them. `routes_bridges` says that the balancer also reaches the containers' own addresses; otherwise every
    replica publishes its port. `zone` names what fails together with this host.
    """

    name: str
    engine: Engine
    publish_on: str
    reach_at: str
    routes_bridges: bool
    zone: str
