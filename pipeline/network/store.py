"""The networks of a home on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.base.errors import StoreFault
from pipeline.base.files import make_folder, remove_drafts, write_atomically
from pipeline.base.lock import short_lock
from pipeline.network.defaults import default_resources
from pipeline.network.kinds import Kind
from pipeline.network.state import Resource, State
from pipeline.network.zones import Zone

_VERSION = 1
_KINDS = {kind.label: kind for kind in Kind}
R = TypeVar("R")


class NetworkStore:
    """The networks of a home, in `network.json`. Safe to use from many threads and processes.

    Each method raises `StoreFault` if the file cannot be read or written.
    """

    def __init__(self, folder: Path, zones: Sequence[Zone]) -> None:
        self.folder = folder
        self._file = folder / "network.json"
        self._lock = folder / "network.lock"
        self.zones = tuple(zones)

    def read(self, owner: str) -> State:
        """Return all resources, and the defaults of an owner. Takes no lock and writes nothing."""
        stored = self._stored()
        return State.of(default_resources(owner, self.zones)).put(*stored.resources.values())

    def change(self, owner: str, change: Callable[[State], tuple[State, R]]) -> R:
        """Replace the state by what `change` makes of it, and return its second result.

        The state is on disk before this returns. If `change` raises, nothing has changed. Two changes at the same time
        follow one another.
        """
        with self.holding():
            self._remove_drafts()
            before = self.read(owner)
            after, result = change(before)
            if after is not before:
                self._write(owner, after)
            return result

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within the block, no other thread and no other process changes the state. It waits for the end."""
        try:
            make_folder(self._file.parent)
        except OSError as error:
            raise self._fault(error) from error
        with short_lock(self._lock):
            yield

    def _stored(self) -> State:
        try:
            data = json.loads(self._file.read_text())
        except FileNotFoundError:
            return State({})
        except (OSError, ValueError) as error:
            raise StoreFault(f"cannot read {self._file}: {error}") from error
        if data.get("version") != _VERSION:
            raise StoreFault(f"{self._file} was written by another version of Penstock")
        return State.of(_resource(each) for each in data["resources"])

    def _write(self, owner: str, state: State) -> None:
        # A default that is as it was follows from the zones, which may be declared in another way tomorrow.
        unchanged = default_resources(owner, self.zones)
        kept = [_data(each) for each in state.resources.values() if each not in unchanged]
        try:
            write_atomically(self._file, json.dumps({"version": _VERSION, "resources": kept}, indent=1))
        except OSError as error:
            raise self._fault(error) from error

    def _remove_drafts(self) -> None:
        try:
            remove_drafts(self._file)
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> StoreFault:
        return StoreFault(f"cannot write {self._file}: {error.strerror}")


def _data(resource: Resource) -> dict[str, Any]:
    return {**vars(resource), "kind": resource.kind.label}


def _resource(data: dict[str, Any]) -> Resource:
    return Resource(**{**data, "kind": _KINDS[data["kind"]]})
