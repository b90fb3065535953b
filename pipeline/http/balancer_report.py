"""The report of `pipeline balancer` and of `GET /v1/balancer`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.effective_endpoints import EffectiveEndpoint
from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.overview import Overview
from pipeline.balancer.telemetry.traffic import address_of
from pipeline.base.clock import Stamp
from pipeline.base.identity_cache import IdentityCache
from pipeline.base.quantity import format_duration
from pipeline.daemon.container_exits import ContainerExit
from pipeline.engine.cluster import ClusterSpec
from pipeline.http.responses.balancer import (
    BalancerResponse,
    ContainerExitResponse,
    DrainResponse,
    ListenerResponse,
    LoadBalancerResponse,
    NodeHealthResponse,
    RuleResponse,
    TargetHealthResponse,
    TargetResponse,
    UsedEndpointResponse,
)
from pipeline.http.rule_report import rule_responses


@dataclass(frozen=True)
class BalancerReport:
    """An overview of the balancer at one moment, and what the daemon and its database know of the targets.

    `clusters`: those of the pipelines with several hosts. `exits`: of containers, by name.
    """

    overview: Overview
    at: Stamp
    clusters: Mapping[str, ClusterSpec] = field(default_factory=dict)
    exits: Mapping[str, ContainerExit] = field(default_factory=dict)

    def response(self) -> BalancerResponse:
        """Return the report for programs."""
        overview = self.overview
        return BalancerResponse(
            at=self.at.wall,
            seconds=overview.traffic.seconds,
            load_balancers=[
                self._load_balancer(owner, name, listeners)
                for (owner, name), listeners in overview.load_balancers().items()
            ],
            target_groups={
                group: [self._target(group, health) for health in found] for group, found in overview.targets.items()
            },
            held=dict(overview.held),
            exits=[_exit(name, found) for name, found in self.exits.items()],
            hosts=self.hosts(),
        )

    def hosts(self) -> dict[str, str]:
        """Return the host of each target whose pipeline has several, by the target's id. Asks no engine."""
        if not self.clusters:
            return {}
        targets = [health.target for group in self.overview.targets.values() for health in group]
        places = ((each.id, self.clusters.get(each.id.partition(".")[0]), each.address) for each in targets)
        return {name: host for name, cluster, address in places if cluster and (host := cluster.host_at(address))}

    def _load_balancer(self, owner: str, name: str, listeners: list[EffectiveListener]) -> LoadBalancerResponse:
        balancer = listeners[0].balancer
        return LoadBalancerResponse(
            name=name,
            owner=owner,
            type=balancer.type,
            scheme=balancer.scheme if isinstance(balancer, EntryPoint) else None,
            zones=[
                NodeHealthResponse(zone=zone, address=address or None, **asdict(node))
                for zone, address, node in self.overview.nodes_of(listeners[0])
            ],
            endpoints=[_endpoint(found) for found in self.overview.endpoints.get((owner, name), ())],
            listeners=[self._listener(effective) for effective in listeners],
        )

    def _listener(self, effective: EffectiveListener) -> ListenerResponse:
        choice = self.overview.planes.get(effective.number)
        none = dict.fromkeys(("plane", "plane_reason", "plane_hint"))
        return ListenerResponse(
            port=effective.port or None,
            protocol=effective.listener.protocol or "HTTP",
            address=effective.address,
            urls=effective.urls,
            **(choice.as_data() if choice else none),
            rules=rule_responses(effective, self.overview.traffic),
        )

    def _target(self, group: str, health: TargetHealth) -> TargetHealthResponse:
        traffic, key = self.overview.traffic, (group, address_of(health))
        # The access log has no connections of network load balancers.
        has_requests = group not in self.overview.of_connections
        exited = self.exits.get(health.target.id)
        more: dict[str, object] = {}
        if has_requests and (key in traffic.requests or key in traffic.errors):
            more |= {"requests_per_second": round(traffic.rate(*key), 3), "errors_5xx": traffic.errors[key]}
        if health.state is TargetState.DRAINING:
            more["draining"] = self._drain(group, health)
        if exited and exited.is_down:
            more["exited"] = _exit(health.target.id, exited)
        idle = _idle_targets(health) if has_requests else _targets_of_connections(health)
        return idle.model_copy(update=more) if more else idle

    def _drain(self, group: str, health: TargetHealth) -> DrainResponse:
        delay = self.overview.delays.get(group, timedelta(0))
        left = max(delay - self.at.since(health.since), timedelta(0))
        return DrainResponse(
            since=health.since.wall, delay=delay.total_seconds(), left=round(min(left, delay).total_seconds(), 1)
        )


def _response(health: TargetHealth, rate: float | None, errors: int | None) -> TargetHealthResponse:
    """Return the response of a target that neither drains nor has exited."""
    return TargetHealthResponse(
        target=_target_responses(health.target),
        state=health.state,
        reason=health.reason,
        description=health.description,
        in_flight=health.in_flight,
        state_age=format_duration(health.state_age),
        since=health.since.wall,
        requests_per_second=rate,
        errors_5xx=errors,
        draining=None,
        exited=None,
    )


# There may be a thousand targets, most of which have not changed since the last report.
_target_responses = IdentityCache[Target, TargetResponse](TargetResponse.model_validate)
_idle_targets = IdentityCache[TargetHealth, TargetHealthResponse](lambda health: _response(health, 0.0, 0))
_targets_of_connections = IdentityCache[TargetHealth, TargetHealthResponse](
    lambda health: _response(health, None, None)
)


def _endpoint(found: EffectiveEndpoint) -> UsedEndpointResponse:
    endpoint = found.endpoint
    return UsedEndpointResponse(
        id=endpoint.endpoint_id,
        name=endpoint.name,
        owner=endpoint.owner,
        state=str(found.state),
        reason=found.reason,
        networks=list(endpoint.settings.networks),
    )


def _exit(container: str, found: ContainerExit) -> ContainerExitResponse:
    return ContainerExitResponse(
        container=container, exit_code=found.exit_code, at=found.at.wall, is_down=found.is_down
    )


def of_pipeline(report: BalancerResponse, pipeline: str) -> BalancerResponse:
    """Return the part that concerns a pipeline: its rules, the groups that it owns, and those with its targets.

    A default action of another owner is left out, and so are listeners without any rule that is left.
    """
    mine = {
        group: [one for one in found if group.startswith(f"{pipeline}.") or one.target.id.startswith(f"{pipeline}.")]
        for group, found in report.target_groups.items()
    }
    groups = {group: found for group, found in mine.items() if found or group.startswith(f"{pipeline}.")}
    targets = {one.target.id for found in groups.values() for one in found}
    return report.model_copy(
        update={
            "load_balancers": list(_of_owner(report.load_balancers, pipeline, groups)),
            "target_groups": groups,
            "held": {group: count for group, count in report.held.items() if group in groups},
            "exits": [found for found in report.exits if found.container.startswith(f"{pipeline}.")],
            "hosts": {target: host for target, host in report.hosts.items() if target in targets},
        }
    )


def _of_owner(
    balancers: Iterable[LoadBalancerResponse], pipeline: str, groups: Collection[str]
) -> Iterator[LoadBalancerResponse]:
    """Yield the load balancers with the rules of an owner, and those that forward to one of these groups."""
    for balancer in balancers:
        listeners = [
            listener.model_copy(update={"rules": rules})
            for listener in balancer.listeners
            if (rules := [rule for rule in listener.rules if _concerns(rule, pipeline, groups)])
        ]
        if listeners:
            yield balancer.model_copy(update={"listeners": listeners})


def _concerns(rule: RuleResponse, pipeline: str, groups: Collection[str]) -> bool:
    return rule.owner == pipeline or any(share.target_group in groups for share in rule.target_groups)
