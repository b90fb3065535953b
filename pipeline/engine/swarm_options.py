"""Options of a replica that only a Swarm has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class SwarmSecret(NamedTuple):
    """A secret that the Swarm keeps. It is the file /run/secrets/`file` of the container."""

    name: str
    file: str


@dataclass(frozen=True)
class SwarmOptions:
    """Where the Swarm may run a replica, and what it gives it.

    `constraints` are such as `node.labels.disk==ssd`, all of which the node meets. `spread` are labels such as
    `node.labels.rack`: the Swarm spreads over their values, the first one first. `secrets` exist in the Swarm.
    """

    constraints: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()
    secrets: tuple[SwarmSecret, ...] = ()
