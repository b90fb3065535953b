"""The names of load balancers as lines of a hosts file. Pure."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.balancer.names.directory import DOMAIN, Directory
from pipeline.balancer.names.node import Address


def hosts(directory: Directory, machine: Callable[[int], Address | None]) -> dict[str, list[str]]:
    """Return the names of each address. A name with several nodes has several addresses.

    All nodes count, because a hosts file does not follow their health. `machine` returns the machine's address of an IP
    version.
    """
    found: dict[str, list[str]] = {}
    for name, entry in directory.entries.items():
        everywhere = filter(None, map(machine, entry.versions))
        for address in (*(node.address for node in entry.nodes), *everywhere):
            found.setdefault(str(address), []).append(f"{name}.{DOMAIN}")
    return found
