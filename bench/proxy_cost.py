"""Cost of a proxied request in CPU time and memory: Penstock's HAProxy against other proxies."""

from __future__ import annotations

from bench.comparison import SERVERS, compared, figures, lacking, rows
from bench.extent import Extent
from bench.figure import Figure
from bench.proxy import CONNECTIONS, FULL, QUICK, connections, requests, take_turns
from bench.results import Results

_MAX_MEMORY = 25.0
_KEPT = {"nginx": 1.12, "nginx, same headers and log": 1.03, "Traefik": 0.30, "Caddy": 0.26}
_NEW = {"nginx": 1.02, "Traefik": 0.4, "Caddy": 0.4}


def measure(extent: Extent) -> Results:
    """Measure the CPU time of a request on a kept and on a new connection, relative to each proxy."""
    rounds = extent.choose(FULL, QUICK)
    with compared() as proxies:
        kept = take_turns(proxies, rounds, requests)
        new = take_turns(proxies, rounds, connections)
        memory = {proxy.name: proxy.memory() for proxy in proxies}
        others = lacking(proxies)
    table = [
        (*row, f"{memory[row[1]]:.1f} MB")
        for row in rows("kept", proxies, kept) + rows("new for each request", proxies, new)
    ]
    return Results.judged(
        "Cost of a proxied request",
        f"{rounds} wrk uses {CONNECTIONS} connections over loopback, kept or new for each request. Each response is "
        f"a 200 with a small body from one of {SERVERS} nginx servers, to which each proxy keeps connections. Every "
        "proxy writes an access log. Penstock, Traefik and Caddy check the servers every second. Penstock uses the "
        f"configuration that its balancer writes. {others}",
        ("client connection", "proxy", "CPU per request", "Penstock relative to it", "highest rate", "memory"),
        table,
        [
            *figures("kept connection", kept, _KEPT),
            *figures("new connection", new, _NEW),
            Figure("memory, MB", memory["Penstock"], _MAX_MEMORY),
        ],
    )
