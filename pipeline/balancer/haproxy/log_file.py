"""The access log on disk. A long one is copied to a file beside it and then truncated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**16


class LogFile:
    """A reader of whole lines: all of them from the newest on, or those since the previous call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rotated = path.with_name(f"{path.name}.1")
        self._offset = 0
        # The line before the offset. While it is there, the file has not been truncated since.
        self._last = b""

    def newest_first(self) -> Iterator[bytes]:
        """Yield every line that is kept, the newest first."""
        for path in (self._path, self._rotated):
            try:
                with path.open("rb") as file:
                    yield from _backwards(file)
            except FileNotFoundError:
                continue

    def skip(self) -> None:
        """Make the next `appended` start after the last whole line."""
        try:
            with self._path.open("rb") as file:
                self._last = next(_backwards(file), b"")
                # What follows the last whole line is still being written.
                self._offset = file.seek(0, os.SEEK_END) - _partial_line_length(file)
        except FileNotFoundError:
            self._offset, self._last = 0, b""

    def appended(self) -> Iterator[bytes]:
        """Yield the lines since the previous call. Those that were rotated meanwhile come first.

        Lines that were rotated before any of the file was read are left out, because nothing shows that they existed.
        """
        try:
            with self._path.open("rb") as file:
                if not self._continues(file):
                    yield from self._rotated_lines()
                    self._offset, self._last = 0, b""
                file.seek(self._offset)
                yield from self._whole_lines(file)
        except FileNotFoundError:
            return

    def _continues(self, file: BinaryIO) -> bool:
        file.seek(self._offset - len(self._last))
        return file.read(len(self._last)) == self._last

    def _rotated_lines(self) -> Iterator[bytes]:
        """Yield the lines that were appended after the previous call and rotated before this one."""
        try:
            content = self._rotated.read_bytes()
        except FileNotFoundError:
            return
        found = content.find(self._last)
        if found >= 0:
            yield from _lines(content[found + len(self._last) :])

    def _whole_lines(self, file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            self._last = line
            yield line


def _backwards(file: BinaryIO) -> Iterator[bytes]:
    """Yield the whole lines of a file, the last one first."""
    end = file.seek(0, os.SEEK_END) - _partial_line_length(file)
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        first, *lines = _lines(file.read(end - start) + rest)
        yield from reversed(lines)
        rest, end = first, start
    if rest:
        yield rest


def _lines(block: bytes) -> list[bytes]:
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def _partial_line_length(file: BinaryIO) -> int:
    """Return the length of the unfinished line at the end. Lines are shorter than a block."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _BLOCK))
    return len(file.read().rpartition(b"\n")[2])
