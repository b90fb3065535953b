"""Cost of a proxied request in processor time and memory: our HAProxy as it really runs, against others.

Each proxy forwards to the same three servers over kept connections, with its access log on; ours checks its
targets besides. They take turns, round by round, so that what the machine does meanwhile hits all alike.
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
MOST_OF_NGINX, MOST_OF_OTHERS, MOST_MEMORY = 1.4, 0.4, 25.0


def measure() -> Results:
    """CPU per request of each, as a multiple of ours."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(SERVERS)]
        starters = {"penstock": penstock, "nginx": nginx, "traefik": traefik, "caddy": caddy}
        proxies = [stack.enter_context(start(directory / name, servers)) for name, start in starters.items()]
        take_turns(proxies, ROUNDS, SECONDS)
        return _results(proxies)


def _results(proxies: list[Proxy]) -> Results:
    cost = {proxy.name: proxy.cost for proxy in proxies}
    ours = proxies[0]
    rows = tuple(
        (
            proxy.name,
            f"{cost[proxy.name]:.1f} µs",
            f"{cost[ours.name] / cost[proxy.name]:.2f}",
            f"{proxy.memory():.1f} MB",
            f"{proxy.rate:.0f}/s",
        )
        for proxy in proxies
    )
    to_nginx = cost[ours.name] / cost["nginx"]
    to_others = max(cost[ours.name] / cost[name] for name in ("Traefik", "Caddy"))
    memory = ours.memory()
    met = to_nginx <= MOST_OF_NGINX and to_others <= MOST_OF_OTHERS and memory <= MOST_MEMORY
    return Results(
        "Cost of a proxied request",
        f"Median of {ROUNDS} rounds of {SECONDS} s, in turn. wrk uses {CONNECTIONS} kept-alive connections over "
        f"loopback. Each response is a 200 with a small body from one of {SERVERS} nginx servers. The access log "
        "is on in each proxy. Penstock uses the configuration that its balancer writes, with health checks every "
        "second.",
        ("proxy", "CPU per request", "Penstock relative to it", "memory", "highest rate"),
        rows,
        f"{to_nginx:.2f} times nginx (at most {MOST_OF_NGINX}), {to_others:.2f} times the cheaper of Traefik and "
        f"Caddy (at most {MOST_OF_OTHERS}), {memory:.0f} MB (at most {MOST_MEMORY:.0f})",
        met,
    )
