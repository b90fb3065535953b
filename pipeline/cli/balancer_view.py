"""Everything that is declared, with how its targets are and what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.effective import SharedListener
from pipeline.balancer.haproxy.process import ACCESS_LOG
from pipeline.balancer.haproxy.words import backend_name
from pipeline.balancer.model import Action, Condition, TargetHealth
from pipeline.balancer.telemetry.log_file import LogFile
from pipeline.balancer.telemetry.metrics import address_of
from pipeline.balancer.telemetry.reading import Reading
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.cli.balancer_format import shares


@dataclass(frozen=True)
class Row:
    """A rule of a listener, or its default action: `priority` is then None."""

    priority: int | None
    owner: str
    conditions: Sequence[Condition]
    action: Action

    def shares(self) -> list[tuple[str, float]]:
        """The target groups that it forwards to, and what they get, in per cent."""
        return shares(self.owner, self.action)


@dataclass(frozen=True)
class View:
    """`targets` is by target group, as the access log names them."""

    listeners: Sequence[SharedListener]
    targets: Mapping[str, Sequence[TargetHealth]]
    traffic: Traffic

    @classmethod
    def of(cls, balancer: Balancer, begin: datetime, now: datetime) -> View:
        """Look at it. Traffic is what ended after `begin`."""
        registry = balancer.registry()
        log = LogFile(balancer.directory / ACCESS_LOG)
        return cls(
            listeners=registry.listeners(),
            targets={
                backend_name(owner, group): balancer.target_health(owner, group)
                for owner, owned in sorted(registry.owners.items())
                for group in sorted(owned.declaration.target_groups)
            },
            traffic=Traffic.since(begin, now, Reading().lines(log.newest_first())),
        )

    def load_balancers(self) -> dict[tuple[str, str], list[SharedListener]]:
        """Owner and name → listeners."""
        found: dict[tuple[str, str], list[SharedListener]] = {}
        for shared in self.listeners:
            found.setdefault((shared.owner, shared.name), []).append(shared)
        return found

    def as_data(self) -> dict[str, Any]:
        """All of it for machines."""
        return {
            "seconds": self.traffic.seconds,
            "load_balancers": [
                {
                    "name": name,
                    "owner": owner,
                    "scheme": listeners[0].balancer.scheme,
                    "listeners": [_listener(shared) for shared in listeners],
                }
                for (owner, name), listeners in self.load_balancers().items()
            ],
            "target_groups": {group: [self._target(group, h) for h in found] for group, found in self.targets.items()},
        }

    def _target(self, group: str, health: TargetHealth) -> dict[str, Any]:
        return {
            **health.model_dump(mode="json"),
            "requests_per_second": round(self.traffic.rate(group, address_of(health)), 3),
            "errors_5xx": self.traffic.errors[group, address_of(health)],
        }


def rows(shared: SharedListener) -> Iterator[Row]:
    """The rules of a listener in their order, and its default action."""
    for owned in shared.rules:
        yield Row(owned.rule.priority, owned.owner, owned.rule.conditions, owned.rule.action)
    yield Row(None, shared.owner, (), shared.default_action)


def _listener(shared: SharedListener) -> dict[str, Any]:
    return {
        "port": shared.port,
        "protocol": shared.listener.protocol or "HTTP",
        "address": shared.address,
        "rules": [
            {
                "priority": row.priority or "default",
                "owner": row.owner,
                "conditions": [c.model_dump(mode="json", exclude_none=True) for c in row.conditions],
                "action": row.action.model_dump(mode="json", exclude_none=True),
                "target_groups": [{"target_group": name, "share": share} for name, share in row.shares()],
            }
            for row in rows(shared)
        ],
    }
