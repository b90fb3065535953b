"""An overview of the balancer: listeners and rules, the targets' health and their traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.model import Action, ApplicationTargetGroup, Condition, NetworkTargetGroup, TargetHealth
from pipeline.balancer.nodes import NodeHealth
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.telemetry.traffic import Traffic, address_of


@dataclass(frozen=True)
class RuleRow:
    """A rule of a listener, or its default action, whose `priority` is None."""

    priority: int | None
    owner: str
    conditions: Sequence[Condition]
    action: Action

    def shares(self) -> list[tuple[str, float]]:
        """Return the target groups that the rule forwards to, each with its percentage of the requests."""
        return shares(self.owner, self.action)


@dataclass(frozen=True)
class Overview:
    """Listeners by port, and the targets of each group. Groups have the names that the access log uses.

    `of_connections`: the groups of network load balancers, whose connections are not in the access log. `nodes`: those
    of each load balancer with zones, by owner and name, then by zone. `planes`: what carries each listener of a network
    load balancer, by its number. `held`: the requests that wait for a target, of the groups that may be scaled to zero.
    """

    listeners: Sequence[EffectiveListener]
    targets: Mapping[str, Sequence[TargetHealth]]
    traffic: Traffic
    of_connections: frozenset[str] = frozenset()
    nodes: Mapping[tuple[str, str], Mapping[str, NodeHealth]] = field(default_factory=dict)
    planes: Mapping[int, PlaneChoice] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_balancer(cls, balancer: Balancer, begin: datetime, now: datetime) -> Overview:
        """Read the balancer. The traffic is the requests that ended after `begin`. Raises `BalancerFault`."""
        registry = balancer.registry()
        return cls(
            listeners=effective_listeners(registry),
            targets={
                target_group_name(owner, group): balancer.target_health(owner, group)
                for owner, group in sorted(registry.groups())
            },
            traffic=Traffic.since(begin, now, balancer.access_log().newest_first()),
            of_connections=frozenset(
                target_group_name(group.owner, group.name)
                for group in registry.target_groups.values()
                if isinstance(group.settings, NetworkTargetGroup)
            ),
            nodes=balancer.nodes(),
            planes={effective.number: choice for effective, choice in balancer.plane_choices()},
            held={
                target_group_name(group.owner, group.name): balancer.held_requests(group.owner, group.name)
                for group in registry.target_groups.values()
                if isinstance(group.settings, ApplicationTargetGroup) and group.settings.hold_time is not None
            },
        )

    def load_balancers(self) -> dict[tuple[str, str], list[EffectiveListener]]:
        """Return the listeners of each load balancer, by owner and name."""
        found: dict[tuple[str, str], list[EffectiveListener]] = {}
        for effective in self.listeners:
            found.setdefault((effective.owner, effective.name), []).append(effective)
        return found

    def nodes_of(self, effective: EffectiveListener) -> Iterator[tuple[str, str, NodeHealth]]:
        """Yield zone, address and health of each node of a listener's load balancer."""
        known = self.nodes.get((effective.owner, effective.name), {})
        for name, zone in (effective.balancer.zones or {}).items():
            yield name, str(zone.address), known[name]

    def as_data(self) -> dict[str, Any]:
        """Return the overview for JSON."""
        return {
            "seconds": self.traffic.seconds,
            "load_balancers": [
                {
                    "name": name,
                    "owner": owner,
                    "type": listeners[0].balancer.type,
                    "scheme": listeners[0].balancer.scheme,
                    "zones": [
                        {"zone": zone, "address": address, **asdict(node)}
                        for zone, address, node in self.nodes_of(listeners[0])
                    ],
                    "listeners": [self._listener_data(effective) for effective in listeners],
                }
                for (owner, name), listeners in self.load_balancers().items()
            ],
            "target_groups": {
                group: [self._target_data(group, health) for health in found] for group, found in self.targets.items()
            },
            "held": dict(self.held),
        }

    def _listener_data(self, effective: EffectiveListener) -> dict[str, Any]:
        choice = self.planes.get(effective.number)
        return {**_listener_data(effective), **(choice.as_data() if choice else {})}

    def _target_data(self, group: str, health: TargetHealth) -> dict[str, Any]:
        if group in self.of_connections:
            return health.model_dump(mode="json")
        return {
            **health.model_dump(mode="json"),
            "requests_per_second": round(self.traffic.rate(group, address_of(health)), 3),
            "errors_5xx": self.traffic.errors[group, address_of(health)],
        }


def rule_rows(effective: EffectiveListener) -> Iterator[RuleRow]:
    """Yield the rules of a listener in their order, then its default action."""
    for owned in effective.rules:
        yield RuleRow(owned.rule.priority, owned.owner, owned.rule.conditions, owned.rule.action)
    yield RuleRow(None, effective.owner, (), effective.default_action)


def shares(owner: str, action: Action) -> list[tuple[str, float]]:
    """Return the target groups of `owner` that an action forwards to, each with its percentage of the requests."""
    groups = action.groups()
    whole = sum(group.weight for group in groups)
    return [(target_group_name(owner, group.target_group), round(100 * group.weight / whole, 1)) for group in groups]


def _listener_data(effective: EffectiveListener) -> dict[str, Any]:
    return {
        "port": effective.port,
        "protocol": effective.listener.protocol or "HTTP",
        "address": effective.address,
        "rules": [
            {
                "priority": row.priority or "default",
                "owner": row.owner,
                "conditions": [c.model_dump(mode="json", exclude_none=True) for c in row.conditions],
                "action": row.action.model_dump(mode="json", exclude_none=True),
                "target_groups": [{"target_group": name, "share": share} for name, share in row.shares()],
            }
            for row in rule_rows(effective)
        ],
    }
