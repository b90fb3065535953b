"""A balancer in memory, with what a daemon knows of its targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Declaration, Target
from pipeline.base.clock import SYSTEM
from pipeline.daemon.container_exits import ContainerExit
from pipeline.engine.cluster import ClusterSpec
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.responses.balancer import BalancerResponse, RuleResponse, TargetHealthResponse
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.access_log import record

EDGE = {
    "target_groups": {"web": {"port": 80, "deregistration_delay": "1m"}, "api": {"port": 80}},
    "load_balancers": {
        "edge": {
            "listeners": [
                {
                    "port": 8080,
                    "rules": [
                        {
                            "priority": 10,
                            "conditions": [{"path_pattern": ["/api/*"]}],
                            "action": {"forward": "api"},
                        },
                        {
                            "priority": 20,
                            "conditions": [{"path_pattern": ["/up"]}],
                            "action": {"fixed_response": {"status_code": 204}},
                        },
                    ],
                    "default_action": {"forward": "web"},
                }
            ]
        }
    },
}
GUEST = {
    "target_groups": {"ads": {"port": 80}},
    "load_balancers": {
        "edge": {
            "listeners": [
                {
                    "port": 8080,
                    "rules": [
                        {
                            "priority": 5,
                            "conditions": [{"host_header": ["ads.example.com"]}],
                            "action": {"forward": "ads"},
                        }
                    ],
                }
            ]
        }
    },
}


class BalancerWorld:
    """A balancer in memory, with two owners and what the daemon knows of their targets."""

    def __init__(self, directory: Path) -> None:
        self.plane = FakePlane()
        self.balancer = Balancer(directory / "balancer", self.plane)
        self.exits: dict[str, ContainerExit] = {}
        self.clusters: dict[str, ClusterSpec] = {}
        self.live = LiveBalancer(self.balancer, lambda: self.clusters, lambda: self.exits)
        self.declare(EDGE)

    def declare(self, declared: Mapping[str, Any], owner: str = "shop") -> None:
        self.balancer.apply(owner, Declaration.model_validate(declared))

    def targets(self, *names: str, group: str = "web", zone: str | None = None) -> None:
        """Register healthy targets."""
        for name in names:
            self.plane.answer_checks(name, CheckFact("passed", passes=1))
        targets = [
            Target(id=name, address=f"10.1.{number // 250}.{number % 250}", port=8080, zone=zone)
            for number, name in enumerate(names, start=1)
        ]
        self.balancer.register("shop", group, *targets)
        self.plane.run_checks()
        self.balancer.wait_healthy("shop", group, timedelta(seconds=5))

    def fail(self, *names: str, text: str = "connection refused") -> None:
        """Let targets fail their checks."""
        for name in names:
            self.plane.answer_checks(name, CheckFact("failed", text=text))
        self.plane.run_checks()

    def requests(self, count: int, **more: str) -> None:
        """Let requests have ended just now."""
        now = SYSTEM.now().wall
        self.plane.records += [replace(record(more), ended=now) for _ in range(count)]

    def rules(self) -> list[RuleResponse]:
        return list(self.live.report().load_balancers[0].listeners[0].rules)

    def target(self, name: str, report: BalancerResponse | None = None) -> TargetHealthResponse:
        found = (report or self.live.report()).target_groups
        return next(one for group in found.values() for one in group if one.target.id == name)
