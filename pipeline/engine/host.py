"""A host: one engine, and the addresses by which the balancer reaches its containers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Every command that opens the store imports this module.
    from pipeline.engine.interfaces import Engine

LOCAL = "local"
"""The address of the engine that `DOCKER_HOST` specifies, else that of this machine."""
_SSH_PORT = 22
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Host:
    """A machine that runs containers, seen from the machine of the balancer.

    Published ports bind to `publish_on`, and the balancer reaches them at `reach_at`. With `routes_bridges`, the
    balancer also reaches the containers' own addresses. Otherwise every replica publishes its port. `zone` is the
    failure domain of the host.
    """

    name: str
    engine: Engine
    publish_on: str
    reach_at: str
    routes_bridges: bool
    zone: str


@dataclass(frozen=True)
class HostSpec:
    """The specification of a host. `docker` is the address of its engine: `local`, or such as `ssh://deploy@app1`.

    The balancer reaches its published ports at `address`, and they bind to it there. Raises `ValueError` for a name
    that is no label of DNS.
    """

    name: str
    docker: str = LOCAL
    zone: str = LOCAL
    address: str = "127.0.0.1"

    @property
    def engine(self) -> tuple[str, ...]:
        """The address of the engine without what makes no other one: the user, and whether the port is written."""
        # Of no use to most commands, which have to start soon.
        from pipeline.engine.ssh_address import SshAddress

        if "://" not in self.docker:
            return (self.docker,)
        address = SshAddress.from_text(self.docker)
        return (address.host.lower(), str(address.port or _SSH_PORT), address.socket)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a name of a host: use a-z, 0-9 and - between them")
