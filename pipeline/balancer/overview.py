"""An overview of the balancer: listeners and rules, the targets' health and their traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.effective_endpoints import EffectiveEndpoint, effective_endpoints
from pipeline.balancer.model import Action, ApplicationTargetGroup, Condition, GatewayTargetGroup, TargetHealth
from pipeline.balancer.nodes import NodeHealth
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.registry import Registry
from pipeline.balancer.rule_text import shares
from pipeline.balancer.telemetry.traffic import Traffic


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

    `of_connections`: the groups of network and gateway load balancers, which are not in the access log. `of_packets`:
    those of gateway load balancers among them. `nodes`: those
    of each load balancer with zones, by owner and name, then by zone. `planes`: what carries each listener of a network
    load balancer, by its number. `held`: the requests that wait for a target, of the groups that may be scaled to zero.
    `delays`: the deregistration delay of each group. `endpoints`: those of each gateway load balancer, by its owner and
    name.
    """

    listeners: Sequence[EffectiveListener]
    targets: Mapping[str, Sequence[TargetHealth]]
    traffic: Traffic
    of_connections: frozenset[str] = frozenset()
    of_packets: frozenset[str] = frozenset()
    nodes: Mapping[tuple[str, str], Mapping[str, NodeHealth]] = field(default_factory=dict)
    planes: Mapping[int, PlaneChoice] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    delays: Mapping[str, timedelta] = field(default_factory=dict)
    endpoints: Mapping[tuple[str, str], Sequence[EffectiveEndpoint]] = field(default_factory=dict)

    @classmethod
    def from_balancer(cls, balancer: BalancerReader, traffic: Traffic) -> Overview:
        """Read the balancer. Raises `BalancerFault`."""
        return cls.of(balancer, balancer.registry(), balancer.all_target_health(), traffic)

    @classmethod
    def of(
        cls,
        balancer: BalancerReader,
        registry: Registry,
        health: Mapping[tuple[str, str], Sequence[TargetHealth]],
        traffic: Traffic,
    ) -> Overview:
        """Return the overview with the health of all targets, and read the rest. Raises `BalancerFault`."""
        groups = {target_group_name(one.owner, one.name): one for one in registry.target_groups.values()}
        return cls(
            listeners=effective_listeners(registry),
            targets={name: health.get((groups[name].owner, groups[name].name), ()) for name in sorted(groups)},
            traffic=traffic,
            of_connections=frozenset(
                name for name, one in groups.items() if not isinstance(one.settings, ApplicationTargetGroup)
            ),
            of_packets=frozenset(name for name, one in groups.items() if isinstance(one.settings, GatewayTargetGroup)),
            nodes=balancer.nodes(),
            planes={effective.number: choice for effective, choice in balancer.plane_choices()},
            held={
                name: balancer.held_requests(one.owner, one.name)
                for name, one in groups.items()
                if isinstance(one.settings, ApplicationTargetGroup) and one.settings.hold_time is not None
            },
            delays={name: one.settings.deregistration_delay for name, one in groups.items()},
            endpoints=_endpoints(registry),
        )

    def load_balancers(self) -> dict[tuple[str, str], list[EffectiveListener]]:
        """Return the listeners of each load balancer, by owner and name."""
        found: dict[tuple[str, str], list[EffectiveListener]] = {}
        for effective in self.listeners:
            found.setdefault((effective.owner, effective.name), []).append(effective)
        return found

    def nodes_of(self, effective: EffectiveListener) -> Iterator[tuple[str, str, NodeHealth]]:
        """Yield zone, address and health of each node of a listener's load balancer.

        The address of a gateway load balancer, which has none, is empty.
        """
        known = self.nodes.get((effective.owner, effective.name), {})
        zones = effective.balancer.zones or {}
        for name in zones:
            yield name, str(zones[name].address) if isinstance(zones, dict) else "", known[name]


def _endpoints(registry: Registry) -> Mapping[tuple[str, str], Sequence[EffectiveEndpoint]]:
    found: dict[tuple[str, str], list[EffectiveEndpoint]] = {}
    for one in effective_endpoints(registry) if registry.endpoints else ():
        if balancer := one.load_balancer:
            found.setdefault((balancer.owner, balancer.name), []).append(one)
    return found


def rule_rows(effective: EffectiveListener) -> Iterator[RuleRow]:
    """Yield the rules of a listener in their order, then its default action."""
    for owned in effective.rules:
        yield RuleRow(owned.rule.priority, owned.owner, owned.rule.conditions, owned.rule.action)
    yield RuleRow(None, effective.owner, (), effective.default_action)
