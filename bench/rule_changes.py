"""Lost requests during changes of rules: fifty changes, each a reload of HAProxy, under a steady load."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.extent import Extent
from bench.nginx import server
from bench.results import Results
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.waiting import until

CHANGES, REQUESTS, RATE, RULES = 50, 100_000, 1500, 1000


def measure(_: Extent) -> Results:
    """Measure one load, from before the first change until after the last."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, server(Path(folder), 0) as behind:
        balancer, port = open_balancer(Path(folder) / "balancer"), free_port()
        balancer.apply("bench", _declaration(port, 0))
        try:
            balancer.register("bench", "web", Target(id="server", address="127.0.0.1", port=behind))
            balancer.wait_healthy("bench", "web", timedelta(seconds=30))
            with Load.start(LoadProfile(f"http://127.0.0.1:{port}/", RATE, posts=0)) as load:
                for change in range(1, CHANGES + 1):
                    until(
                        lambda due=change: load.report().sent >= due * REQUESTS / (CHANGES + 1),
                        "the next change is due",
                        deadline=60,
                    )
                    balancer.apply("bench", _declaration(port, change))
                until(lambda: load.report().sent >= REQUESTS, "all are sent", deadline=60)
                report = load.stop()
        finally:
            balancer.withdraw("bench")
    return Results(
        "Rule changes under load",
        f"A listener with {RULES} rules. One of them changes {CHANGES} times under {RATE} requests a second, on "
        "kept-alive and new connections.",
        ("changes", "sent", "failed", "longest time without a response", "p99"),
        ((str(CHANGES), str(report.sent), str(report.failed), f"{report.longest_gap:.0f} ms", f"{report.p99:.1f} ms"),),
        f"{report.failed} of {report.sent} lost",
        report.failed == 0 and report.sent >= REQUESTS,
    )


def _declaration(port: int, version: int) -> Declaration:
    check = {"path": "/", "interval": "1s"}
    rules: list[dict[str, Any]] = [
        {"priority": n + 1, "conditions": [{"path_pattern": [f"/{n}/*"]}], "action": {"forward": "web"}}
        for n in range(RULES - 1)
    ]
    changing = {"path_pattern": [f"/version{version}/*"]}
    rules.append({"priority": RULES, "conditions": [changing], "action": {"forward": "web"}})
    listener = {"port": port, "rules": rules, "default_action": {"forward": "web"}}
    edge = {"scheme": "internal", "listeners": [listener]}
    groups = {"web": {"port": 80, "health_check": check}}
    return Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": edge}})
