"""Penstock's balancer, as a compared proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.proxy import Proxy
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port


@contextmanager
def penstock(
    folder: Path,
    servers: Sequence[int],
    certificate: Path | None = None,
    name: str = "Penstock",
    group: Mapping[str, Any] | None = None,
    **listener: Any,
) -> Iterator[Proxy]:
    """Run Penstock's balancer, over TLS if given a certificate. `listener` holds further keys of the listener."""
    folder.mkdir()
    if certificate:
        listener = {"protocol": "HTTPS", "certificates": [{"certificate": str(certificate)}], **listener}
    balancer, port = open_balancer(folder / "balancer"), free_port()
    web = {"port": 80, "health_check": {"path": "/", "interval": "1s"}, **(group or {})}
    edge = {"scheme": "internal", "listeners": [{"port": port, "default_action": {"forward": "web"}, **listener}]}
    declaration = {"target_groups": {"web": web}, "load_balancers": {"edge": edge}}
    balancer.apply("bench", Declaration.model_validate(declaration))
    try:
        targets = [Target(id=f"server{n}", address="127.0.0.1", port=server) for n, server in enumerate(servers)]
        balancer.register("bench", "web", *targets)
        balancer.wait_healthy("bench", "web", timedelta(seconds=30))
        pid = int((folder / "balancer" / "haproxy.pid").read_text())
        yield Proxy(name, port, pid, "https" if certificate else "http")
    finally:
        balancer.withdraw("bench")
