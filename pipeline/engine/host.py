"""A host: one engine, and the addresses by which the balancer reaches its containers."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.engine.interfaces import Engine


@dataclass(frozen=True)
class Host:
    """A machine that runs containers, seen from the machine of the balancer.

    Published ports bind to `publish_on`, and the balancer reaches them at `reach_at`. With `routes_bridges`, the
    balancer also reaches the containers' own addresses. Otherwise every replica publishes its port. `zone` is the
    failure domain of the host.
    """

    name: str
    engine: Engine
    publish_on: str
    reach_at: str
    routes_bridges: bool
    zone: str
