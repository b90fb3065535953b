"""A Swarm of the servers of a site."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from pipeline.base.errors import SystemFault
from pipeline.testing.machines.server import Server
from pipeline.testing.machines.site import Site

_DEADLINE = 60.0


def form_swarm(site: Site, *, managers: int = 3, zones: Mapping[str, str] | None = None) -> None:
    """Make a Swarm of all servers, the first ones as managers. Returns when every node is ready.

    `zones` are values of the node label `zone`, by the names of the servers.
    """
    first, *others = site.servers.values()
    first.engine.docker(
        "swarm", "init", "--advertise-addr", first.address, "--default-addr-pool", str(site.lan.spare[-1])
    )
    tokens = {
        role: first.engine.docker("swarm", "join-token", "--quiet", role).strip() for role in ("manager", "worker")
    }
    for number, server in enumerate(others, start=1):
        token = tokens["manager" if number < managers else "worker"]
        server.engine.docker("swarm", "join", "--token", token, "--advertise-addr", server.address, first.address)
    await_nodes(first, [*site.servers])
    for name, zone in (zones or {}).items():
        first.engine.docker("node", "update", "--label-add", f"zone={zone}", name)


def leader(site: Site) -> Server:
    """Return the server that leads the Swarm, as the first manager that answers sees it."""
    for server in site.servers.values():
        for node in nodes(server):
            if node["ManagerStatus"] == "Leader":
                return site.servers[node["Hostname"]]
    raise SystemFault("the Swarm has no leader")


def nodes(manager: Server) -> Sequence[Mapping[str, str]]:
    """Return the nodes as a manager lists them, or nothing if it does not."""
    try:
        lines = manager.engine.docker("node", "ls", "--format", "{{json .}}").splitlines()
    except SystemFault:
        return []
    return [json.loads(line) for line in lines]


def await_nodes(manager: Server, names: Sequence[str]) -> None:
    """Wait until nodes are ready. Raises `SystemFault` if they are not within a minute."""
    deadline = time.monotonic() + _DEADLINE
    while {node["Hostname"] for node in nodes(manager) if node["Status"] == "Ready"} < set(names):
        if time.monotonic() > deadline:
            raise SystemFault(f"not all of {', '.join(names)} are ready: {nodes(manager)}")
        time.sleep(0.1)
