"""Rate and CPU time of TLS handshakes and requests, for Penstock and nginx."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import trustme

from bench.proxies import Proxy, nginx, penstock, server, take_turns
from bench.results import Results

ROUNDS = 5
SECONDS = 3
_NEW_CONNECTIONS = "Connection: close"


def measure() -> Results:
    """Measure kept-alive connections, then a handshake for each request."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(3)]
        certificate = directory / "certificate.pem"
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        listener = {"protocol": "HTTPS", "certificates": [{"certificate": str(certificate)}]}
        proxies = [
            stack.enter_context(penstock(directory / "penstock", servers, **listener)),
            stack.enter_context(nginx(directory / "nginx", servers, certificate)),
        ]
        rows = [*_compared(proxies, "requests"), *_compared(proxies, "handshakes", _NEW_CONNECTIONS)]
    requests, handshakes = (float(rows[n][-1]) for n in (0, 2))
    return Results(
        "TLS",
        f"Median of {ROUNDS} rounds of {SECONDS} s, in turn. wrk uses 32 connections. The certificate is P-256, "
        "and each server chooses version and suite among TLS 1.2 and 1.3.",
        ("proxy", "measured", "per second", "CPU each", "times nginx's CPU"),
        tuple(rows),
        f"{requests:.2f} times nginx's CPU for a request, {handshakes:.2f} times for a handshake with its request",
        met=True,
    )


def _compared(proxies: list[Proxy], what: str, *headers: str) -> list[tuple[str, ...]]:
    for proxy in proxies:
        proxy.costs.clear()
        proxy.rates.clear()
    take_turns(proxies, ROUNDS, SECONDS, *headers)
    base = proxies[1].cost
    return [(p.name, what, f"{p.rate:.0f}", f"{p.cost:.0f} µs", f"{p.cost / base:.2f}") for p in proxies]
