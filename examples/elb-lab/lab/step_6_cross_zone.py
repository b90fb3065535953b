"""Step 6: an NLB in two zones, with cross-zone balancing off and on."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import Laboratory

TITLE = "an NLB, with cross-zone off and on"
CONNECTIONS = 4000
ADDRESSES = "198.18.1.20 198.18.2.20"
TARGETS = {"zone-a": 2, "zone-b": 8}
MANY = f"client -n {CONNECTIONS} --by target http://198.18.1.20:9000/ http://198.18.2.20:9000/"
# The kernel's plane chooses a target by a hash, so shares vary from run to run.
POINTS = 3.0


def play(lab: Laboratory) -> list[Finding]:
    """Count connections per target, half of them to each zone's node, also while a zone is shifted away."""
    lab.run("pipeline run -f nlb.yaml", brief=True)
    lab.run("python zones.py start")
    names = lab.run("pipeline balancer hosts")
    try:
        off = lab.ask(MANY)
        lab.run("pipeline run -f nlb.yaml -p cross_zone=true", brief=True)
        lab.run("pipeline balancer")
        on = lab.ask(MANY)
        lab.run("pipeline balancer shift nlb --away zone-a --for 10m")
        shifted = lab.ask(MANY)
        lab.run("pipeline balancer shift nlb --cancel")
    finally:
        lab.run("python zones.py stop")
    everyone = sum(TARGETS.values())
    alone = {zone: 100 / len(TARGETS) / count for zone, count in TARGETS.items()}
    return [
        Finding.equal("addresses of the name nlb.nlb.elb.internal", ADDRESSES, _addresses(names)),
        *_shares("off", off, alone),
        *_shares("on", on, dict.fromkeys(TARGETS, 100 / everyone)),
        *_shares("on, shifted", shifted, {"zone-a": 0.0, "zone-b": 100 / TARGETS["zone-b"]}),
    ]


def _shares(setting: str, rows: list[dict[str, str]], expected: dict[str, float]) -> list[Finding]:
    seen = {row["TARGET"]: 100 * int(row["REQUESTS"]) / CONNECTIONS for row in rows}
    return [
        Finding.share(f"cross-zone {setting}: {zone}-{n}", share, seen.get(f"{zone}-{n}", 0.0), POINTS if share else 0)
        for zone, share in expected.items()
        for n in range(1, TARGETS[zone] + 1)
    ]


def _addresses(hosts: str) -> str:
    lines = [line.split() for line in hosts.splitlines()]
    return " ".join(address for address, *names in lines if "nlb.nlb.elb.internal" in names)
