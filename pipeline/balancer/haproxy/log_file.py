"""The access log on disk, and the second file to which a long one is moved. See `log_rotation`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from pipeline.balancer.haproxy.log_place import Place
from pipeline.balancer.haproxy.log_rotation import data_start, rotated_path

_BLOCK = 2**16
# The second file as it was at some time: inode and time of change. None if there was none.
Rotation = tuple[int, int] | None


class LogFile:
    """A reader of whole lines: all of them from the newest on, or those since the previous call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        # The line before the offset. While it is there, the file has not been truncated since.
        self._last = b""
        # True if the next line to read, and the offset, are in the second file.
        self._starts_rotated = False
        # The rotation at the previous call.
        self._rotation = self._current_rotation()

    def newest_first(self) -> Iterator[bytes]:
        """Yield every line that is kept, the newest first."""
        return (line for _, line in self.before(None))

    def before(self, place: Place | None) -> Iterator[tuple[int, bytes]]:
        """Yield the lines before a place with their offsets, the newest first. None: all lines.

        There are none if the line at that place is no longer kept.
        """
        rotation, last, is_older = self._current_rotation(), place, place is None
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            if place is None or place.is_in(file):
                is_older = not self._is_copied(file)
                for lines in _with_offsets(file, place):
                    if self._current_rotation() != rotation:
                        # These lines may be incomplete. They are in the second file.
                        break
                    yield from lines
                    last = Place.of(*lines[-1])
        yield from self._rotated_before(last, rotation if is_older else None)

    def skip(self) -> None:
        """Make the next `appended` start after the last whole line."""
        self._starts_rotated = False
        self._rotation = self._current_rotation()
        try:
            with self._path.open("rb") as file:
                self._offset = _end_of_lines(file)
                self._last = next(_backwards(file, self._offset), [b""])[0]
        except FileNotFoundError:
            self._offset, self._last = 0, b""

    def rewind(self, is_earlier: Callable[[bytes], bool], max_bytes: int | None = None) -> bool:
        """Make the next `appended` start after the last line for which `is_earlier`, or with the oldest that is kept.

        Reads only as far back as needed, and at most about `max_bytes`. Return False if lines after it may be missing,
        because no such line was found in a log that was rotated, or in the last `max_bytes`.
        """
        while True:
            self._rotation, reach = self._current_rotation(), _Reach(is_earlier, max_bytes)
            self._seek_back(reach)
            # A rotation takes lines away while they are read.
            if self._current_rotation() == self._rotation:
                return reach.is_found or (not reach.is_over and self._rotation is None and self._has_first_line())

    def _has_first_line(self) -> bool:
        """Return whether the log was never emptied."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            return data_start(file) == 0
        return True

    def _seek_back(self, is_earlier: Callable[[bytes], bool]) -> None:
        self._offset, self._last, self._starts_rotated = 0, b"", False
        # A crash between the copy and the truncation leaves the same lines in both files.
        copied = self._newest_rotated_line()
        is_found, is_copied = self._seek_back_in(self._path, is_earlier, copied)
        if not is_found and copied and not is_copied:
            self._starts_rotated = True
            self._seek_back_in(rotated_path(self._path), is_earlier, copied)

    def _seek_back_in(self, path: Path, is_earlier: Callable[[bytes], bool], copied: bytes) -> tuple[bool, bool]:
        """Seek in one file. Return whether an earlier line was found, and whether `copied` was read before it."""
        is_copied = False
        with suppress(FileNotFoundError), path.open("rb") as file:
            offset = _end_of_lines(file)
            for lines in _backwards(file, offset):
                for line in lines:
                    if is_earlier(line):
                        self._offset, self._last = offset, line
                        return True, is_copied
                    offset -= len(line)
                is_copied = is_copied or copied in lines
        return False, is_copied

    def appended(self) -> Iterator[bytes]:
        """Yield the lines since the previous call. Those that were rotated meanwhile come first.

        Lines that were rotated before any of the file was read are left out, because nothing shows that they existed.
        """
        try:
            with self._path.open("rb") as file:
                rotation = self._current_rotation()
                if not self._continues(file):
                    yield from self._rotated_lines(is_new=rotation != self._rotation)
                    self._offset, self._last = 0, b""
                self._rotation = rotation
                self._offset = max(self._offset, data_start(file))
                file.seek(self._offset)
                yield from self._whole_lines(file)
        except FileNotFoundError:
            return

    def _current_rotation(self) -> Rotation:
        try:
            status = rotated_path(self._path).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _continues(self, file: BinaryIO) -> bool:
        if self._starts_rotated:
            self._starts_rotated = False
            return False
        return self._is_after_last(file)

    def _is_after_last(self, file: BinaryIO) -> bool:
        """Return whether the line that was read last ends at the offset."""
        file.seek(self._offset - len(self._last))
        return file.read(len(self._last)) == self._last

    def _newest_rotated_line(self) -> bytes:
        with suppress(FileNotFoundError), rotated_path(self._path).open("rb") as file:
            return next(_backwards(file), [b""])[0]
        return b""

    def _rotated_before(self, last: Place | None, rotation: Rotation) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of the second file before the place `last`, the newest first.

        If it has no such line and its rotation is `rotation`, all of them are older than that line.
        """
        with suppress(FileNotFoundError), rotated_path(self._path).open("rb") as file:
            status = os.fstat(file.fileno())
            is_there = last is not None and last.is_in(file)
            if is_there or last is None or (status.st_ino, status.st_mtime_ns) == rotation:
                yield from (found for lines in _with_offsets(file, last if is_there else None) for found in lines)

    def _is_copied(self, log: BinaryIO) -> bool:
        """Return whether the log has the lines of the second file too, after a crash before the truncation."""
        with suppress(FileNotFoundError), rotated_path(self._path).open("rb") as file:
            lines = next(_with_offsets(file, None), None)
            return lines is not None and Place.of(*lines[0]).is_in(log)
        return False

    def _rotated_lines(self, *, is_new: bool) -> Iterator[bytes]:
        """Yield the lines that were appended after the previous call and rotated before this one.

        `is_new`: the log was rotated since the previous call. If the second file then lacks the line that was read
        last, the log was rotated twice, and all lines of the file are new.
        """
        try:
            with rotated_path(self._path).open("rb") as file:
                # The lines have the offsets that they had in the log.
                if self._is_after_last(file):
                    file.seek(max(self._offset, data_start(file)))
                elif is_new:
                    file.seek(data_start(file))
                else:
                    return
                content = file.read()
        except FileNotFoundError:
            return
        yield from _lines(content)

    def _whole_lines(self, file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            # NULs show that the file was truncated while it was read. The next call finds what is missing.
            if not line.endswith(b"\n") or b"\0" in line:
                return
            self._offset += len(line)
            self._last = line
            yield line


class _Reach:
    """How far back to read: until a line for which `is_earlier`, or for so many bytes."""

    def __init__(self, is_earlier: Callable[[bytes], bool], max_bytes: int | None) -> None:
        self._is_earlier = is_earlier
        self._left = sys.maxsize if max_bytes is None else max_bytes
        self.is_found = self.is_over = False

    def __call__(self, line: bytes) -> bool:
        """Return whether to stop at this line."""
        self._left -= len(line)
        self.is_found, self.is_over = self._is_earlier(line), self._left < 0
        return self.is_found or self.is_over


def _backwards(file: BinaryIO, end: int | None = None) -> Iterator[list[bytes]]:
    """Yield the whole lines of a file until `end`, the last one first, in one list for each block that is read."""
    begin = data_start(file)
    if end is None:
        end = _end_of_lines(file)
    rest = b""
    while end > begin:
        start = max(begin, end - _BLOCK)
        file.seek(start)
        first, *lines = _lines(file.read(end - start) + rest) or [b""]
        if lines:
            yield lines[::-1]
        rest, end = first, start
    if rest:
        yield [rest]


def _with_offsets(file: BinaryIO, end: Place | None) -> Iterator[list[tuple[int, bytes]]]:
    """Yield what `_backwards` yields until a place, each line with its offset."""
    offset = end.offset if end else _end_of_lines(file)
    for lines in _backwards(file, offset):
        starts = [*accumulate((-len(line) for line in lines), initial=offset)][1:]
        offset = starts[-1]
        yield [*zip(starts, lines, strict=True)]


def _lines(block: bytes) -> list[bytes]:
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


def _end_of_lines(file: BinaryIO) -> int:
    """Return the offset after the last whole line. More may be written meanwhile. Lines are shorter than a block."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - _BLOCK)
    file.seek(start)
    return start + file.read(end - start).rfind(b"\n") + 1
