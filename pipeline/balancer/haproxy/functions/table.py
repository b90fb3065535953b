"""The addresses of functions, written by the data plane and read by the adapter for each request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.balancer.data_plane import WantedGroup
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.base.errors import BalancerFault
from pipeline.base.files import FileStamp, file_stamp, write_atomically

_FILE = "functions.json"


class FunctionTarget(NamedTuple):
    """The address of a function. `multiple`: it gets every value of repeated headers and parameters."""

    address: str
    port: int
    multiple: bool


class FunctionTable:
    """A file in the balancer's directory, replaced as a whole. One writer at a time, any number of readers."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._known: tuple[FileStamp | None, dict[str, Any]] = None, {}

    def groups(self) -> frozenset[str]:
        """Return the ids of the target groups of functions."""
        return frozenset(self._read())

    def find(self, group: str, target: str) -> FunctionTarget:
        """Return the address of a function. Raises `LookupError` for an unknown one."""
        settings = self._read()[group]
        address, port = settings["targets"][target]
        return FunctionTarget(address, port, settings["multiple"])

    def replace(self, groups: Iterable[WantedGroup]) -> None:
        """Replace the content by the targets of these groups. Raises `BalancerFault` if it cannot write."""
        self._write({group.id: _entry(group) for group in groups})

    def put(self, group: WantedGroup) -> None:
        """Replace the targets of one group. Raises as `replace`."""
        self._write({**self._read(), group.id: _entry(group)})

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def _write(self, groups: dict[str, Any]) -> None:
        if groups == self._read() and self._path.exists():
            return
        try:
            write_atomically(self._path, json.dumps(groups, indent=1))
        except OSError as error:
            raise BalancerFault(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self) -> dict[str, Any]:
        stamp = file_stamp(self._path)
        if stamp is None or stamp != self._known[0]:
            self._known = stamp, self._parsed() if stamp else {}
        return self._known[1]

    def _parsed(self) -> dict[str, Any]:
        """Return the content, or nothing if it is damaged. The next `replace` writes it again."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _entry(group: WantedGroup) -> dict[str, Any]:
    # Lists, so it equals the content that is read back.
    targets = {target.id: [target.address, target.port] for target in group.targets}
    assert isinstance(group.settings, ApplicationTargetGroup)
    return {"multiple": group.settings.attributes.multi_value_headers, "targets": targets}
