"""The load balancer's metrics in Prometheus' text: counters from the access log, and the health of the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from typing import Literal

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from pipeline.balancer.access import AccessRecord, load_balancer_name, target_group_name
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.effective import (
    EffectiveGatewayListener,
    EffectiveListener,
    EffectiveNetworkListener,
    effective_listeners,
)
from pipeline.balancer.model import (
    ApplicationTargetGroup,
    GatewayTargetGroup,
    NetworkTargetGroup,
    TargetGroup,
    TargetHealth,
    TargetState,
)
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.counters import Counters
from pipeline.balancer.telemetry.families import (
    DROPPED,
    FAMILIES,
    GATEWAY_FAMILIES,
    HELD,
    NETWORK_FAMILIES,
    UNREADABLE,
    Family,
    Sample,
    labels,
)
from pipeline.balancer.telemetry.flow_totals import FlowTotals, dropped_samples, gateway_samples
from pipeline.balancer.telemetry.traffic import address_of

# The names need no later version, and every version of Prometheus reads this one.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Health = Mapping[str, tuple[TargetHealth, ...]]
# Target group → the load balancers that forward to it.
Users = Mapping[str, set[str]]
_HOSTS: Mapping[str, Callable[[TargetState], bool]] = {
    "HealthyHostCount": lambda state: state is TargetState.HEALTHY,
    "UnHealthyHostCount": lambda state: state.is_unhealthy,
}


class Metrics(Collector):
    """Counts the access log from its beginning and continues from there. Safe to use from any thread."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._log = balancer.access_log()
        self._counters = Counters()
        self._flows = FlowTotals()
        self._lock = Lock()

    def text(self) -> str:
        """Return all metrics as they are now. Raises `BalancerFault` if the data plane fails."""
        return generate_latest(self).decode()

    def collect(self) -> list[Metric]:
        """Return the families that have samples, as `prometheus_client` takes them. Raises what `text` raises."""
        with self._lock:
            for record in self._log.appended():
                if isinstance(record, AccessRecord):
                    self._counters.add(record)
            registry = self._balancer.registry()
            health, flows = self._health(registry, ApplicationTargetGroup), self._health(registry, NetworkTargetGroup)
            users = _users(registry)
            found = [_metric(family, self._samples(name, health, users)) for name, family in FAMILIES.items()]
            self._flows.update(self._balancer.flow_counts())
            for name, family in NETWORK_FAMILIES.items():
                counted = self._flows.samples(name, registry, users)
                found.append(_metric(family, _network_samples(name, flows, users) or counted))
            found += self._gateways(registry, users)
            found.append(_metric(HELD, self._held(registry)))
            unreadable = _metric(UNREADABLE, [("", (), self._log.unreadable)])
        return [metric for metric in (*found, unreadable) if metric.samples]

    def _health(self, registry: Registry, kind: type[TargetGroup]) -> Health:
        return {
            target_group_name(owner, group): self._balancer.target_health(owner, group)
            for owner, group in sorted(registry.groups())
            if isinstance(registry.group(owner, group), kind)
        }

    def _gateways(self, registry: Registry, users: Users) -> Iterator[Metric]:
        health = self._health(registry, GatewayTargetGroup)
        for name, family in GATEWAY_FAMILIES.items():
            hosts = _HOSTS.get(name)
            counted = _hosts(health, users, hosts) if hosts else gateway_samples(self._flows, name, registry)
            yield _metric(family, counted)
        yield _metric(DROPPED, dropped_samples(self._flows, registry))

    def _held(self, registry: Registry) -> Iterator[Sample]:
        for owner, group in sorted(registry.groups()):
            settings = registry.group(owner, group)
            if isinstance(settings, ApplicationTargetGroup) and settings.hold_time is not None:
                where = labels({"target_group": target_group_name(owner, group)})
                yield "", where, self._balancer.held_requests(owner, group)

    def _samples(self, name: str, health: Health, users: Users) -> Iterator[Sample]:
        if name in _HOSTS:
            return _hosts(health, users, _HOSTS[name])
        if name == "RequestCountPerTarget":
            return self._counters.target_samples(_addresses(health))
        return self._counters.time_samples() if name == "TargetResponseTime" else self._counters.samples(name)


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    """Return a family of `prometheus_client`, which appends `_total` to the name of a counter."""
    metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
    for suffix, where, value in samples:
        metric.add_sample(f"{family.name}{suffix}", dict(where), value)
    return metric


def _network_samples(name: str, health: Health, users: Users) -> Iterator[Sample] | None:
    """Return the samples of a metric that follows from the health of targets, or None for another one."""
    if name in _HOSTS:
        return _hosts(health, users, _HOSTS[name])
    return _open_flows(health, users) if name == "ActiveFlowCount" else None


def _open_flows(health: Health, users: Users) -> Iterator[Sample]:
    for group, targets in health.items():
        for user in sorted(users.get(group, ())):
            for found in targets:
                where = labels({"load_balancer": user, "target_group": group, "target": found.target.id})
                yield "", where, found.in_flight


def _hosts(health: Health, users: Users, counts: Callable[[TargetState], bool]) -> Iterator[Sample]:
    """Yield a sample for each load balancer that forwards to a group and each zone that the group has targets in.

    Without such a load balancer or zone, the sample does not name one.
    """
    for group, targets in health.items():
        found: list[str | None] = [*sorted(users.get(group, ()))] or [None]
        for user in found:
            for zone in dict.fromkeys(h.target.zone for h in targets) or (None,):
                where = labels({"load_balancer": user, "target_group": group, "availability_zone": zone})
                yield "", where, sum(counts(h.state) and h.target.zone == zone for h in targets)


def _users(registry: Registry) -> Users:
    found: dict[str, set[str]] = {}
    for effective in effective_listeners(registry):
        for group in effective.groups():
            user = load_balancer_name(effective.owner, effective.name, _kind(effective))
            found.setdefault(target_group_name(*group), set()).add(user)
    return found


def _kind(effective: EffectiveListener) -> Literal["app", "net", "gateway"]:
    if isinstance(effective, EffectiveGatewayListener):
        return "gateway"
    return "net" if isinstance(effective, EffectiveNetworkListener) else "app"


def _addresses(health: Health) -> Mapping[tuple[str, str], str]:
    """Return target group and address → target ID."""
    return {(group, address_of(h)): h.target.id for group, targets in health.items() for h in targets}
