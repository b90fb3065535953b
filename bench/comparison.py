"""Penstock beside the other proxies, all in front of the same servers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from bench.bare_haproxy import bare_haproxy
from bench.figure import Figure, median_ratio
from bench.nginx import nginx, server
from bench.peers import caddy, traefik
from bench.penstock import penstock
from bench.programs import ProgramMissing
from bench.proxy import Costs, Proxy

SERVERS = 3


@contextmanager
def compared(certificate: Path | None = None) -> Iterator[list[Proxy]]:
    """Run Penstock and nginx, and Traefik and Caddy if they are installed.

    Without TLS there are also an nginx with the same headers and log and a HAProxy with the least configuration. Raises
    `ProgramMissing` without nginx, which is also the server behind the proxies.
    """
    starters: dict[str, Callable[..., AbstractContextManager[Proxy]]] = {
        "penstock": penstock,
        "nginx": nginx,
        **({} if certificate else {"nginx-same": partial(nginx, same=True), "haproxy": bare_haproxy}),
        "traefik": traefik,
        "caddy": caddy,
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(server(directory, n)) for n in range(SERVERS)]
        proxies = []
        for name, start in starters.items():
            with suppress(ProgramMissing):
                proxies.append(stack.enter_context(start(directory / name, servers, certificate)))
        yield proxies


def rows(what: str, proxies: Sequence[Proxy], costs: dict[str, Costs]) -> list[tuple[str, ...]]:
    """Return a row for each proxy, with the cost of Penstock relative to it."""
    base = costs[proxies[0].name]
    return [
        (
            what,
            proxy.name,
            f"{costs[proxy.name].median:.1f} µs",
            f"{median_ratio(base.each, costs[proxy.name].each):.2f}",
            f"{costs[proxy.name].rate:.0f}/s",
        )
        for proxy in proxies
    ]


def figures(what: str, costs: dict[str, Costs], limits: dict[str, float]) -> list[Figure]:
    """Return the cost of Penstock relative to each of the proxies with a limit that were measured."""
    return [
        Figure(f"{what}: times {name}", median_ratio(costs["Penstock"].each, costs[name].each), limit)
        for name, limit in limits.items()
        if name in costs
    ]


def lacking(proxies: Sequence[Proxy]) -> str:
    """Return sentences that say what each of the other proxies does not do here."""
    return " ".join(f"Not done by {proxy.name}: {proxy.lacks}." for proxy in proxies if proxy.lacks)
