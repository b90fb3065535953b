"""A file of what an agent is to keep. A plane writes it, and the agent reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pipeline.base.errors import BalancerFault
from pipeline.base.files import FileStamp, file_stamp, write_atomically


class Wanted(Protocol):
    """What an agent is to keep."""

    def to_json(self) -> str:
        """Return it as text."""


_T = TypeVar("_T", bound=Wanted)


class WantedFile(Generic[_T]):
    """The file. One writer at a time, which holds the balancer's lock, and any number of readers.

    `parse` raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for a damaged text. `nothing`: the content
    without a file.
    """

    def __init__(self, path: Path, parse: Callable[[str], _T], nothing: _T) -> None:
        self._path = path
        self._parse = parse
        self._nothing = nothing
        self._known: tuple[FileStamp | None, _T | None] = None, None

    def exists(self) -> bool:
        """Return whether anything was written since the last `remove`."""
        return self._path.exists()

    def read(self) -> _T:
        """Return the content. Without a file, or if it is damaged, nothing is wanted."""
        return self.found() or self._nothing

    def found(self) -> _T | None:
        """Return the content, or None without a file or if it is damaged. The next `write` repairs it."""
        stamp = file_stamp(self._path)
        if stamp is None or stamp != self._known[0]:
            self._known = stamp, self._parsed() if stamp else None
        return self._known[1]

    def write(self, wanted: _T) -> None:
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

    def _parsed(self) -> _T | None:
        try:
            return self._parse(self._path.read_text())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
