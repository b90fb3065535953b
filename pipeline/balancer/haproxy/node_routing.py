"""The routing of a listener whose load balancer has zones: the node that received a request chooses a pool of targets.

All nodes of a listener are one frontend. The address that the client connected to tells the node. A replaced worker
passes that address on, with a request or a connection. One map per listener has the backend for each zone and target
group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveNetworkListener
from pipeline.balancer.haproxy.naming import pool_backend
from pipeline.balancer.model import TargetGroup
from pipeline.balancer.pools import EVERY_TARGET, pools_by_zone


class NodeRouting:
    """The routing of a listener. `prefix` begins the names of its files. `groups`: its target groups by backend.

    `others`: addresses of nodes of other load balancers that pass their connections on, each with its zone. Without
    zones, it has no lines and no files.
    """

    def __init__(
        self,
        effective: EffectiveApplicationListener | EffectiveNetworkListener,
        prefix: str,
        groups: Mapping[str, TargetGroup],
        others: Mapping[str, str] | None = None,
    ) -> None:
        self._zones = effective.balancer.zones or {}
        self._others = others or {}
        self._prefix = prefix
        self._pools = {group: pools_by_zone(effective, settings) for group, settings in groups.items()}

    def files(self) -> dict[str, str]:
        """Return the maps from addresses to zones and from zones and groups to backends: name → content."""
        if not self._zones:
            return {}
        own = {str(zone.address): name for name, zone in self._zones.items()}
        zones = [f"{address} {name}\n" for address, name in {**self._others, **own}.items() if name in self._zones]
        pools = [
            f"{zone}.{group} {pool_backend(group, pool)}\n"
            for group, by_zone in self._pools.items()
            for zone, pool in by_zone.items()
        ]
        return {self._file("zones"): "".join(zones), self._file("pools"): "".join(pools)}

    def backends(self, group: str) -> list[str]:
        """Return the backends that the nodes use for a target group."""
        pools = self._pools[group].values() if self._zones else (EVERY_TARGET,)
        return list(dict.fromkeys(pool_backend(group, pool) for pool in pools))

    def session_lines(self) -> Iterator[str]:
        """Yield lines of the frontend that find the node of a connection. Some node takes one to an unknown address."""
        if self._zones:
            default = next(iter(self._zones))
            yield f"tcp-request session set-var(sess.zone) dst,map_ip({self._file('zones')},{default})"

    def lines(self, rules: str = "http-request") -> Iterator[str]:
        """Yield lines that replace the target group in `txn.backend` by the node's pool of it.

        `rules`: the kind of HAProxy's rules that the lines are.
        """
        if self._zones:
            key = "var(sess.zone),concat(.,txn.backend)"
            yield f"{rules} set-var(txn.pool) {key},map_str({self._file('pools')})"
            yield f"{rules} set-var(txn.backend) var(txn.pool) if {{ var(txn.pool) -m found }}"

    def _file(self, name: str) -> str:
        return f"{self._prefix}.{name}.map"
