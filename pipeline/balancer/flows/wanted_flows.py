"""The listeners that the kernel carries, in a file that the plane writes and the flow agent reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.base.errors import BalancerFault
from pipeline.base.files import FileStamp, file_stamp, write_atomically

_FILE = "flows.json"


@dataclass(frozen=True)
class GroupFlows:
    """A pool of a target group. `needed`: the number of healthy targets below which all of them get flows.

    `hidden`: its targets see the balancer's address as that of the client. `cuts`: the flows of a target end when it
    becomes unhealthy.
    """

    needed: int = 1
    hidden: bool = True
    cuts: bool = True


@dataclass(frozen=True)
class ListenerFlows:
    """A node of a listener of the load balancer `load_balancer` of `owner`.

    `address`: one address, 0.0.0.0 or ::. `idle`: in seconds. `groups`: pools and weights.
    `is_optional`: HAProxy carries what the kernel does not. `sticky`: see `FlowListener`.
    """

    owner: str
    load_balancer: str
    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    idle: int
    sticky: bool
    is_optional: bool
    groups: tuple[tuple[str, int], ...]

    @property
    def node(self) -> tuple[str, str, int, str]:
        """What distinguishes it from other nodes of its protocol."""
        return self.owner, self.load_balancer, self.port, self.address


@dataclass(frozen=True)
class WantedFlows:
    """The listeners, and the pools of target groups that they forward to, by their backends in HAProxy."""

    listeners: tuple[ListenerFlows, ...] = ()
    groups: Mapping[str, GroupFlows] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> WantedFlows:
        """Parse a text. Raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        found = json.loads(text)
        listeners = (
            ListenerFlows(**{**each, "groups": tuple(map(tuple, each["groups"]))}) for each in found["listeners"]
        )
        return cls(tuple(listeners), {id_: GroupFlows(**each) for id_, each in found["groups"].items()})


class FlowFile:
    """The file. One writer at a time, which holds the balancer's lock, and any number of readers."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._known: tuple[FileStamp | None, WantedFlows | None] = None, None

    def exists(self) -> bool:
        """Return whether the kernel carried anything since the last `remove`."""
        return self._path.exists()

    def read(self) -> WantedFlows:
        """Return the content. Without a file, or if it is damaged, nothing is wanted."""
        return self.found() or WantedFlows()

    def found(self) -> WantedFlows | None:
        """Return the content, or None without a file or if it is damaged. The next `write` repairs it."""
        stamp = file_stamp(self._path)
        if stamp is None or stamp != self._known[0]:
            self._known = stamp, self._parsed() if stamp else None
        return self._known[1]

    def write(self, wanted: WantedFlows) -> None:
        """Replace the content. Raises `BalancerFault` if it cannot write."""
        if wanted == self.found():
            return
        try:
            write_atomically(self._path, wanted.to_json())
        except OSError as error:
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}") from error

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def _parsed(self) -> WantedFlows | None:
        try:
            return WantedFlows.from_json(self._path.read_text())
        except (OSError, ValueError, TypeError, KeyError):
            return None
