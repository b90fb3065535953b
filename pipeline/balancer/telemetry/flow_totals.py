"""The counts of flows, summed over all processes of the data plane, by CloudWatch's names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from pipeline.balancer.access import load_balancer_name, target_group_name
from pipeline.balancer.data_plane import FlowCount, FlowCounts
from pipeline.balancer.effective import EffectiveGatewayListener, EffectiveNetworkListener, effective_listeners
from pipeline.balancer.model import NetworkTargetGroup
from pipeline.balancer.model.gateway.listener import NO_PORT
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.families import Labels, Sample, labels

# CloudWatch's name → the count of listeners. These have a metric for each protocol too, such as `NewFlowCount_TLS`.
_OF_LISTENERS: Mapping[str, FlowCount] = {"NewFlowCount": "new", "ProcessedBytes": "bytes", "ActiveFlowCount": "active"}
# What the name of a count begins with, before the reason, of packets that a gateway load balancer dropped.
_DROPPED = "dropped_"
_OF_TLS_LISTENERS: Mapping[str, FlowCount] = {"ClientTLSNegotiationErrorCount": "client_tls_errors"}
_OF_GROUPS: Mapping[str, FlowCount] = {
    "TCP_Client_Reset_Count": "client_resets",
    "TCP_Target_Reset_Count": "target_resets",
    "UnhealthyRoutingFlowCount": "unhealthy_routing",
}
_OF_TLS_GROUPS: Mapping[str, FlowCount] = {"TargetTLSNegotiationErrorCount": "target_tls_errors"}


class _Place(NamedTuple):
    """A listener, or a target group, which has no port."""

    owner: str
    name: str
    port: int | None
    transport: Literal["tcp", "udp"]


# Packets that a gateway load balancer dropped, and that belong to no endpoint.
_NO_ENDPOINT = _Place("", "", NO_PORT, "tcp")


class FlowTotals:
    """Counts that continue when a process of the data plane is replaced. For one thread at a time.

    What a process counts between the last `update` and its end is lost.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[str, _Place], Counter[FlowCount]] = {}
        # Of processes whose name another one has taken over.
        self._former: defaultdict[_Place, Counter[FlowCount]] = defaultdict(Counter)

    def update(self, found: Iterable[FlowCounts]) -> None:
        """Take the counts as they are now."""
        for counts in self._latest.values():
            counts["active"] = 0
        for one in found:
            place = _Place(one.owner, one.name, one.port, one.transport)
            counts, before = Counter(one.counts), self._latest.get((one.source, place), Counter())
            if any(counts[name] < value for name, value in before.items()):
                self._former[place] += before
            self._latest[one.source, place] = counts

    def samples(self, name: str, registry: Registry, users: Mapping[str, set[str]]) -> Iterator[Sample]:
        """Yield the samples of a metric, for the listeners and groups that exist. `users`: see `metrics`."""
        totals = self._totals()
        metric, _, protocol = name.partition("_")
        if count := (_OF_LISTENERS.get(metric) or _OF_TLS_LISTENERS.get(name)):
            wanted = "TLS" if name in _OF_TLS_LISTENERS else protocol
            yield from _listener_samples(totals, count, wanted, registry)
        elif count := (_OF_GROUPS.get(name) or _OF_TLS_GROUPS.get(name)):
            yield from _group_samples(totals, count, registry, users, only_tls=name in _OF_TLS_GROUPS)

    def of_gateways(self, registry: Registry) -> Iterator[tuple[str, Counter[FlowCount]]]:
        """Yield the name and the counts of each gateway load balancer that exists and is counted."""
        totals = self._totals()
        for effective in effective_listeners(registry):
            place = _Place(effective.owner, effective.name, effective.port, "tcp")
            if isinstance(effective, EffectiveGatewayListener) and place in totals:
                yield load_balancer_name(effective.owner, effective.name, "gateway"), totals[place]

    def of_no_endpoint(self) -> Counter[FlowCount]:
        """Return the counts of packets that belong to no endpoint, so to no load balancer."""
        return self._totals().get(_NO_ENDPOINT, Counter())

    def _totals(self) -> dict[_Place, Counter[FlowCount]]:
        totals = defaultdict[_Place, Counter[FlowCount]](Counter)
        for place, former in self._former.items():
            totals[place].update(former)
        for (_, place), counts in self._latest.items():
            totals[place].update(counts)
        return totals


def _listener_samples(
    totals: Mapping[_Place, Counter[FlowCount]], count: FlowCount, protocol: str, registry: Registry
) -> Iterator[Sample]:
    """Yield a sample for each load balancer that has listeners of this protocol, or of any if it is empty."""
    found = Counter[Labels]()
    for effective in effective_listeners(registry):
        if not isinstance(effective, EffectiveNetworkListener):
            continue
        where = labels({"load_balancer": load_balancer_name(effective.owner, effective.name, "net")})
        for place, counts in totals.items():
            is_here = place[:3] == (effective.owner, effective.name, effective.port)
            spoken = "UDP" if place.transport == "udp" else effective.listener.protocol.partition("_")[0]
            if is_here and count in counts and protocol in ("", spoken):
                found[where] += counts[count]
    yield from (("", where, value) for where, value in found.items())


def gateway_samples(totals: FlowTotals, name: str, registry: Registry) -> Iterator[Sample]:
    """Yield the samples of a metric of `AWS/GatewayELB`, for the gateway load balancers that are counted."""
    for where, counts in totals.of_gateways(registry):
        if (count := _OF_LISTENERS[name]) in counts:
            yield "", labels({"load_balancer": where}), counts[count]


def dropped_samples(totals: FlowTotals, registry: Registry) -> Iterator[Sample]:
    """Yield the packets that each gateway load balancer dropped, by reason, and those that belong to none."""
    for where, counts in (*totals.of_gateways(registry), ("", totals.of_no_endpoint())):
        for count, value in sorted(counts.items()):
            if count.startswith(_DROPPED):
                yield "", labels({"load_balancer": where, "reason": count.removeprefix(_DROPPED)}), value


def _group_samples(
    totals: Mapping[_Place, Counter[FlowCount]],
    count: FlowCount,
    registry: Registry,
    users: Mapping[str, set[str]],
    *,
    only_tls: bool,
) -> Iterator[Sample]:
    """Yield a sample for each group and load balancer that forwards to it."""
    for group in registry.target_groups.values():
        # HAProxy counts the backends of gateway load balancers too, and carries nothing for them.
        if not isinstance(group.settings, NetworkTargetGroup):
            continue
        name = target_group_name(group.owner, group.name)
        found = [counts for place, counts in totals.items() if place[:3] == (group.owner, group.name, None)]
        if any(count in counts for counts in found) and (not only_tls or group.settings.protocol == "TLS"):
            total = sum(counts[count] for counts in found)
            for user in sorted(users.get(name, ())):
                yield "", labels({"load_balancer": user, "target_group": name}), total
