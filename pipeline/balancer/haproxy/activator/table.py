"""The groups whose requests the activator holds, written by the data plane and read by the activator.

Imports no model: the activator is a small process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import BalancerFault
from pipeline.base.files import FileStamp, file_stamp, write_atomically

_FILE = "activator.json"


class HoldingGroup(NamedTuple):
    """A target group, with the targets that may get its requests: address and port.

    `hold_time`: the seconds for which a request is held. `secure`: the targets speak TLS. `http2`: they speak HTTP/2.
    """

    hold_time: float
    secure: bool
    http2: bool
    targets: tuple[tuple[str, int], ...] = ()


class HoldingTable:
    """A file in the balancer's directory, replaced as a whole. One writer at a time, any number of readers."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._known: tuple[FileStamp | None, dict[str, HoldingGroup]] = None, {}

    def groups(self) -> Mapping[str, HoldingGroup]:
        """Return the groups by id. Empty without the file, or if it is damaged: the next `replace` writes it again."""
        stamp = file_stamp(self._path)
        if stamp is None or stamp != self._known[0]:
            self._known = stamp, self._parsed() if stamp else {}
        return self._known[1]

    def replace(self, groups: Mapping[str, HoldingGroup]) -> None:
        """Replace the content. Raises `BalancerFault` if it cannot write."""
        if groups == self.groups() and self._path.exists():
            return
        try:
            write_atomically(self._path, json.dumps({name: group._asdict() for name, group in groups.items()}))
        except OSError as error:
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}") from error

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def _parsed(self) -> dict[str, HoldingGroup]:
        try:
            found = json.loads(self._path.read_text())
            return {name: _group(entry) for name, entry in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _group(entry: dict[str, object]) -> HoldingGroup:
    found = HoldingGroup(**entry)  # type: ignore[arg-type]
    return found._replace(targets=tuple((str(address), int(port)) for address, port in found.targets))
