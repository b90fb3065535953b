"""The frames in which Docker sends the output of a process without a terminal: stdout and stderr in one stream."""

from __future__ import annotations

import struct
from collections.abc import Iterator

STDERR = 2
_HEADER = struct.Struct(">BxxxL")


class FrameReader:
    """Takes the bytes of a stream in any pieces, and returns its whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the source of each whole frame, 1 for stdout and 2 for stderr, with its content."""
        data = self._rest + data
        position, end, unpack = 0, len(data) - _HEADER.size, _HEADER.unpack_from
        while position <= end:
            source, size = unpack(data, position)
            following = position + _HEADER.size + size
            if following > len(data):
                break
            yield source, data[position + _HEADER.size : following]
            position = following
        self._rest = data[position:]
