"""The load balancer's metrics as Prometheus reads them: what the access log adds up to, and how the targets are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.process import ACCESS_LOG
from pipeline.balancer.haproxy.words import backend_name
from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.counts import Counts, Sample
from pipeline.balancer.telemetry.exposition import labels
from pipeline.balancer.telemetry.families import FAMILIES, UNREADABLE
from pipeline.balancer.telemetry.log_file import LogFile
from pipeline.balancer.telemetry.outcome import load_balancer_name
from pipeline.balancer.telemetry.reading import Reading

Health = Mapping[str, tuple[TargetHealth, ...]]
# Target group → the load balancers that forward to it.
Users = Mapping[str, set[str]]
_HOSTS = {"HealthyHostCount": TargetState.HEALTHY, "UnHealthyHostCount": TargetState.UNHEALTHY}


class Metrics:
    """Counts from the beginning of the access log on, and goes on from there. Safe to use from any thread."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._log = LogFile(balancer.directory / ACCESS_LOG)
        self._reading = Reading()
        self._counts = Counts()
        self._lock = Lock()

    def text(self) -> str:
        """All of them, as they are now. Raises `BalancerFault` when HAProxy fails."""
        with self._lock:
            for line in self._reading.lines(self._log.appended()):
                self._counts.count(line)
            registry = self._balancer.registry()
            return "".join(f"{line}\n" for line in self._lines(self._health(registry), _users(registry)))

    def _health(self, registry: Registry) -> Health:
        return {
            backend_name(owner, group): self._balancer.target_health(owner, group)
            for owner, owned in sorted(registry.owners.items())
            for group in sorted(owned.declaration.target_groups)
        }

    def _lines(self, health: Health, users: Users) -> Iterator[str]:
        for name, family in FAMILIES.items():
            yield from family.lines(self._samples(name, health, users))
        yield from UNREADABLE.lines([("", (), self._reading.unreadable)])

    def _samples(self, name: str, health: Health, users: Users) -> Iterator[Sample]:
        if name in _HOSTS:
            return _hosts(health, users, _HOSTS[name])
        if name == "RequestCountPerTarget":
            return self._counts.target_samples(_addresses(health))
        return self._counts.time_samples() if name == "TargetResponseTime" else self._counts.samples(name)


def _hosts(health: Health, users: Users, state: TargetState) -> Iterator[Sample]:
    """A sample for each load balancer that forwards to a group; where there is none, one for the group alone."""
    for group, targets in health.items():
        found: list[str | None] = [*sorted(users.get(group, ()))] or [None]
        for user in found:
            where = labels({"load_balancer": user, "target_group": group})
            yield "", where, sum(h.state is state for h in targets)


def _users(registry: Registry) -> Users:
    found: dict[str, set[str]] = {}
    for shared in registry.listeners():
        for group in shared.groups():
            found.setdefault(backend_name(*group), set()).add(load_balancer_name(shared.owner, shared.name))
    return found


def _addresses(health: Health) -> Mapping[tuple[str, str], str]:
    """Target group and address → target."""
    return {(group, address_of(h)): h.target.id for group, targets in health.items() for h in targets}


def address_of(health: TargetHealth) -> str:
    """The target's address and port, as the access log has them."""
    return f"{health.target.address}:{health.target.port}"
