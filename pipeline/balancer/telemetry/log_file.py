"""The access log on disk. When it has grown long it is emptied, and what was in it is then beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**16


class LogFile:
    """Reads whole lines: from the newest on, or those that have come since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._former = path.with_name(f"{path.name}.1")
        self._offset = 0
        # The line before the offset: as long as it is there, the file is still the one that was read.
        self._last = b""

    def newest_first(self) -> Iterator[bytes]:
        """Every line that is left, the newest first."""
        for path in (self._path, self._former):
            try:
                with path.open("rb") as file:
                    yield from _backwards(file)
            except FileNotFoundError:
                continue

    def skip(self) -> None:
        """Take all that is there as seen."""
        try:
            with self._path.open("rb") as file:
                self._last = next(_backwards(file), b"")
                # What follows the last whole line is just being written.
                self._offset = file.seek(0, os.SEEK_END) - _torn(file)
        except FileNotFoundError:
            self._offset, self._last = 0, b""

    def appended(self) -> Iterator[bytes]:
        """The lines since the last look. Those of a file that was emptied meanwhile come first.

        What was emptied before anything of it was read is left out: nothing tells then that it was there.
        """
        try:
            with self._path.open("rb") as file:
                if not self._continues(file):
                    yield from self._moved()
                    self._offset, self._last = 0, b""
                file.seek(self._offset)
                yield from self._whole_lines(file)
        except FileNotFoundError:
            return

    def _continues(self, file: BinaryIO) -> bool:
        file.seek(self._offset - len(self._last))
        return file.read(len(self._last)) == self._last

    def _moved(self) -> Iterator[bytes]:
        """What was appended to the former file after the last look."""
        try:
            content = self._former.read_bytes()
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
    """The whole lines of a file, the last one first."""
    end = file.seek(0, os.SEEK_END) - _torn(file)
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


def _torn(file: BinaryIO) -> int:
    """How many bytes at the end are of a line that is not whole. Lines are shorter than a block."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _BLOCK))
    return len(file.read().rpartition(b"\n")[2])
