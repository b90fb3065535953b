"""The resources of a home that are kept and do nothing, on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder, remove_drafts, write_atomically
from pipeline.base.lock import short_lock

_VERSION = 1


@dataclass(frozen=True)
class KeptResource:
    """A resource that a stack has made. `token` names it, and `id` is its physical id within its owner and type."""

    token: str
    type: str
    owner: str
    made_by: str
    id: str
    properties: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """What no other resource has."""
        return self.owner, self.type, self.id


class KeptStore:
    """The kept resources of a home, in `kept.json`. Safe to use from many threads and processes.

    Each method raises `StoreFault` if the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "kept.json"
        self._lock = folder / "kept.lock"

    def all(self, owner: str, type_name: str) -> list[KeptResource]:
        """Return an owner's resources of a type, oldest first."""
        return [each for each in self._read() if each.owner == owner and each.type == type_name]

    def find(self, owner: str, type_name: str, resource_id: str) -> KeptResource | None:
        """Return a resource by its physical id, or None."""
        return next((each for each in self.all(owner, type_name) if each.id == resource_id), None)

    def add(self, resource: KeptResource) -> KeptResource:
        """Keep a resource. Return it, or the one that has its owner, type and id."""
        return self._change(resource, replace=False)

    def put(self, resource: KeptResource) -> None:
        """Keep a resource in place of the one that has its owner, type and id."""
        self._change(resource, replace=True)

    def delete(self, owner: str, type_name: str, resource_id: str) -> None:
        """Delete a resource. Does nothing if it does not exist."""
        gone = (owner, type_name, resource_id)
        with self._changing():
            known = self._read()
            if any(each.key == gone for each in known):
                self._write([each for each in known if each.key != gone])

    def _change(self, resource: KeptResource, *, replace: bool) -> KeptResource:
        with self._changing():
            known = {each.key: each for each in self._read()}
            if resource.key in known and not replace:
                return known[resource.key]
            self._write(list({**known, resource.key: resource}.values()))
            return resource

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            make_folder(self._file.parent)
            with short_lock(self._lock):
                remove_drafts(self._file)
                yield
        except OSError as error:
            raise StoreFault(f"cannot write {self._file}: {error.strerror}") from error

    def _read(self) -> list[KeptResource]:
        try:
            data = json.loads(self._file.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot read {self._file}: {error}") from error
        if data.get("version") != _VERSION:
            raise StoreFault(f"{self._file} was written by another version of Penstock")
        return [KeptResource(**each) for each in data["resources"]]

    def _write(self, resources: list[KeptResource]) -> None:
        kept = [asdict(each) for each in resources]
        write_atomically(self._file, json.dumps({"version": _VERSION, "resources": kept}, indent=1))
