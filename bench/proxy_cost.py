"""Cost of a proxied request in CPU time and memory: Penstock's HAProxy against other proxies.

Each proxy forwards to the same three servers over kept-alive connections, with its access log on. Penstock also checks
its targets. The proxies are measured in turn, so that other work on the machine affects all of them.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.proxies import CONNECTIONS, Proxy, caddy, nginx, penstock, server, take_turns, traefik
from bench.results import Results

ROUNDS = 7
SECONDS = 4
SERVERS = 3
MAX_TO_NGINX, MAX_TO_OTHERS, MAX_MEMORY = 1.4, 0.4, 25.0


def measure() -> Results:
    """Measure the CPU time per request of each proxy, and Penstock's relative to it."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(SERVERS)]
        starters = {"penstock": penstock, "nginx": nginx, "traefik": traefik, "caddy": caddy}
        proxies = [stack.enter_context(start(directory / name, servers)) for name, start in starters.items()]
        take_turns(proxies, ROUNDS, SECONDS)
        return _results(proxies)


def _results(proxies: list[Proxy]) -> Results:
    cost = {proxy.name: proxy.cost for proxy in proxies}
    penstock_proxy = proxies[0]
    rows = tuple(
        (
            proxy.name,
            f"{cost[proxy.name]:.1f} µs",
            f"{cost[penstock_proxy.name] / cost[proxy.name]:.2f}",
            f"{proxy.memory():.1f} MB",
            f"{proxy.rate:.0f}/s",
        )
        for proxy in proxies
    )
    to_nginx = cost[penstock_proxy.name] / cost["nginx"]
    to_others = max(cost[penstock_proxy.name] / cost[name] for name in ("Traefik", "Caddy"))
    memory = penstock_proxy.memory()
    met = to_nginx <= MAX_TO_NGINX and to_others <= MAX_TO_OTHERS and memory <= MAX_MEMORY
    return Results(
        "Cost of a proxied request",
        f"Median of {ROUNDS} rounds of {SECONDS} s, in turn. wrk uses {CONNECTIONS} kept-alive connections over "
        f"loopback. Each response is a 200 with a small body from one of {SERVERS} nginx servers. The access log "
        "is on in each proxy. Penstock uses the configuration that its balancer writes, with health checks every "
        "second.",
        ("proxy", "CPU per request", "Penstock relative to it", "memory", "highest rate"),
        rows,
        f"{to_nginx:.2f} times nginx (at most {MAX_TO_NGINX}), {to_others:.2f} times the cheaper of Traefik and "
        f"Caddy (at most {MAX_TO_OTHERS}), {memory:.0f} MB (at most {MAX_MEMORY:.0f})",
        met,
    )
