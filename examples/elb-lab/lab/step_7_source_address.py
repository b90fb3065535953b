"""Step 7: the source address that a target sees behind an ALB and behind an NLB."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import CLIENT, Laboratory

TITLE = "ALB against NLB: the source address that the target sees"
BY = "packet_source,x_forwarded_for,proxy_protocol"


def play(lab: Laboratory) -> list[Finding]:
    """Ask through the ALB, and through the NLB with each of its settings."""
    (alb,) = lab.ask(f"client --by {BY} http://198.18.1.10:8800/")
    lab.run("pipeline run -f nlb.yaml", brief=True)
    (plain,) = lab.ask(f"client --by {BY} http://198.18.1.20:8800/")
    lab.run("pipeline run -f nlb.yaml -p proxy_protocol=true", brief=True)
    (proxied,) = lab.ask(f"client --by {BY} http://198.18.1.20:8800/")
    lab.run("pipeline run -f nlb.yaml -p preserve_client_ip=true", brief=True)
    (preserved,) = lab.ask(f"client --by {BY} http://198.18.1.20:8800/")
    return [
        *_row("ALB", alb, kept=False, forwarded=CLIENT, proxy="-"),
        *_row("NLB", plain, kept=False, forwarded="-", proxy="-"),
        *_row("NLB with PROXY v2", proxied, kept=False, forwarded="-", proxy=CLIENT),
        *_row("NLB that preserves it", preserved, kept=True, forwarded="-", proxy="-"),
    ]


def _row(through: str, seen: dict[str, str], *, kept: bool, forwarded: str, proxy: str) -> list[Finding]:
    source = seen["PACKET_SOURCE"]
    expected = CLIENT if kept else "the load balancer's"
    return [
        Finding(f"{through}: packets come from", expected, source, (source == CLIENT) == kept),
        Finding.equal(f"{through}: X-Forwarded-For", forwarded, seen["X_FORWARDED_FOR"]),
        Finding.equal(f"{through}: PROXY protocol", proxy, seen["PROXY_PROTOCOL"]),
    ]
