"""The place of a line in the access log. It stays the same when the line is moved to the second file."""

from __future__ import annotations

import re
import zlib
from typing import BinaryIO, NamedTuple, Self

_TEXT = re.compile(r"(\d{1,15})-([0-9a-f]{8})")


class Place(NamedTuple):
    """The offset of a line, and the CRC-32 of its bytes. A log that was emptied by hand has other lines there."""

    offset: int
    checksum: int

    @classmethod
    def of(cls, offset: int, line: bytes) -> Self:
        """Return the place of a line at an offset."""
        return cls(offset, zlib.crc32(line))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `str` returned. Raises `ValueError` for any other text."""
        found = _TEXT.fullmatch(text, endpos=32) if text.isascii() else None
        if found is None:
            raise ValueError(f"{text[:40]!r} is not the position of an entry; take one from the previous page")
        return cls(int(found[1]), int(found[2], 16))

    def __str__(self) -> str:
        return f"{self.offset}-{self.checksum:08x}"

    def is_in(self, file: BinaryIO) -> bool:
        """Return whether a file has this line at its offset. Moves the position of the file."""
        file.seek(self.offset)
        return zlib.crc32(file.readline(2**16)) == self.checksum
