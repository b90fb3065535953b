"""Step 3: an ALB, its health checks and its access log."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import CLIENT, Laboratory
from pipeline.balancer.model import TargetState

TITLE = "an ALB, and how it works"
REQUESTS = 100
MANY = f"client -n {REQUESTS} http://198.18.1.10:8800/ http://198.18.2.10:8800/"


def play(lab: Laboratory) -> list[Finding]:
    """Send requests while both targets are healthy, while one hangs, and after it has recovered."""
    both = lab.ask(MANY)
    # The application's name for itself is its container's.
    hanging = both[0]["TARGET"]
    lab.run(f"docker pause {hanging}")
    try:
        lab.until(lambda: _healthy(lab) == 1, "a target is unhealthy")
        lab.run("pipeline balancer")
        one = lab.ask(MANY)
    finally:
        lab.run(f"docker unpause {hanging}")
    lab.until(lambda: _healthy(lab) == 2, "both targets are healthy")
    again = lab.ask(MANY)
    line = lab.run("pipeline balancer log | tail -n 1")
    return [
        Finding.equal("targets that answer", 2, len(both)),
        *(Finding.share(f"the share of {row['TARGET']}", 50, float(row["SHARE"].split()[0]), points=5) for row in both),
        Finding.equal("targets that answer while one hangs", 1, len(one)),
        Finding.equal("requests that they answer", REQUESTS, sum(int(row["REQUESTS"]) for row in one)),
        Finding.equal("targets that answer afterwards", 2, len(again)),
        Finding.equal("the client in the access log", CLIENT, line.split()[3].rpartition(":")[0]),
        Finding.equal("the status in the access log", "200", line.split()[8]),
    ]


def _healthy(lab: Laboratory) -> int:
    return sum(health.state is TargetState.HEALTHY for health in lab.balancer().target_health("web", "web"))
