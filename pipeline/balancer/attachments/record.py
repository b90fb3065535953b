"""What was made for each attached network, in a file, so that what a crash leaves is found and removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.balancer.attachments.device_name import INNER
from pipeline.balancer.attachments.fault import AttachmentFault
from pipeline.balancer.attachments.namespaces import FOLDER, OWN, path_of
from pipeline.balancer.model.gateway.attached_network import PlaceKind
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from pipeline.base.files import write_atomically

_FILE = "attachments.json"
_DIGITS = 9

MAX_SIZE = 8500
"""The most bytes of a packet that an endpoint takes, as in ELB."""


@dataclass(frozen=True)
class AttachmentRecord:
    """A network of an endpoint, and the number that its devices are named after. It is written before they are made.

    `inner` is the device in the network, and `outer` the other end of its cable, in this machine's namespace. For a
    network of Docker, `router` is the namespace that has its gateway address, and `port` is the device in the bridge
    that leads there. `bridge`, `gateway`, `mtu` and `addresses` are as the engine described them last. `size`: the
    bytes of the largest packet that the endpoint takes. `fault` says why the network is not attached, and is empty if
    it is.
    """

    endpoint: str
    network: str
    kind: PlaceKind
    place: str
    number: str
    bridge: str = ""
    gateway: str = ""
    mtu: int = 0
    size: int = MAX_SIZE
    addresses: tuple[str, ...] = ()
    fault: str = ""
    hint: str = ""

    @classmethod
    def of(cls, home: str, endpoint: WantedEndpoint, network: WantedNetwork) -> AttachmentRecord:
        """Return the record of a network that is not attached yet. `home` is the id of the home."""
        digest = hashlib.sha256("\0".join((home, endpoint.id, network.name)).encode()).hexdigest()
        return cls(endpoint.id, network.name, network.kind, network.place, digest[:_DIGITS])

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes it: the id of its endpoint, and its name there."""
        return self.endpoint, self.network

    @property
    def namespace(self) -> Path:
        """The file of the namespace that its device is in."""
        if self.kind == "host":
            return OWN
        return path_of(self.place) if self.kind == "namespace" else self.router

    @property
    def label(self) -> str:
        """The namespace for messages."""
        return {"host": "this machine", "namespace": f"network namespace {self.place}"}.get(self.kind, str(self.router))

    @property
    def inner(self) -> str:
        """The name of the device in the network."""
        return f"{INNER}{self.number}"

    @property
    def outer(self) -> str:
        """The name of the other end of its cable."""
        return f"gwlbo-{self.number}"

    @property
    def port(self) -> str:
        """The name of the device in Docker's bridge."""
        return f"gwlbp-{self.number}"

    @property
    def router(self) -> Path:
        """The file of the namespace that is the gateway of a network of Docker."""
        return FOLDER / f"penstock-{self.number}"

    def alias(self, home: str) -> str:
        """Return the text that its devices have beside their names."""
        return f"{home_alias(home)}{self.endpoint} {self.network}"

    def mac(self, kind: str) -> bytes:
        """Return the address of a device. It is always the same, so neighbours need not learn a new one."""
        digest = hashlib.sha256(f"{kind} {self.number}".encode()).digest()
        # Locally administered, of one station.
        return bytes([0x02, *digest[:5]])


def home_alias(home: str) -> str:
    """Return how the aliases of all devices of a home begin."""
    return f"penstock {home} "


class AttachmentFile:
    """The records of one balancer directory. One process at a time may write."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    def read(self) -> dict[tuple[str, str], AttachmentRecord]:
        """Return the records by their keys. A damaged file has none, and the devices are found by their aliases."""
        try:
            found = [_record(each) for each in json.loads(self._path.read_text())]
        except (OSError, ValueError, TypeError, KeyError):
            return {}
        return {each.key: each for each in found}

    def write(self, records: Iterable[AttachmentRecord]) -> None:
        """Write the records, or remove the file if there are none. On disk when this returns.

        Raises `AttachmentFault` if it cannot write.
        """
        found = [asdict(each) for each in records]
        try:
            if found:
                write_atomically(self._path, json.dumps(found, indent=1))
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise AttachmentFault(f"cannot write {self._path}: {error.strerror}") from error


def _record(data: dict[str, Any]) -> AttachmentRecord:
    if not isinstance(addresses := data["addresses"], list):
        raise TypeError(addresses)
    return AttachmentRecord(**{**data, "addresses": tuple(addresses)})
