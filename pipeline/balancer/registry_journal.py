"""The text of the registry's file: a snapshot, followed by a line for each change since.

Each part is JSON. A line holds a checksum of all that comes before it and of its change. So a line that was changed,
lost or written by two processes is noticed. A last line without its end was interrupted, and does not count.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Self

# The end of a snapshot: the only line of indented JSON that holds nothing else.
_END = b"\n}\n"
_LINE = re.compile(rb'\{"checksum":"([0-9a-f]{8})","change":(\{.*\})\}')


class Damage(ValueError):
    """A line does not follow what comes before it."""


class Extent(NamedTuple):
    """The beginning of a file that is known: its size in bytes, its checksum, and the size of its snapshot.

    `snapshot` is 0 if the end of the snapshot cannot be recognised, as in one that a person wrote. No line may follow.
    """

    size: int
    checksum: int
    snapshot: int

    @classmethod
    def of_snapshot(cls, data: bytes) -> Self:
        """Return the extent of the snapshot that `data` begins with. Spaces after it belong to it."""
        end = data.find(_END) + len(_END)
        if end < len(_END):
            return cls(len(data), zlib.crc32(data), 0)
        while data[end : end + 1] == b" ":
            end += 1
        return cls(end, zlib.crc32(data[:end]), end)

    def begins(self, data: bytes) -> bool:
        """Return whether `data` begins with what is known."""
        return len(data) >= self.size and zlib.crc32(memoryview(data)[: self.size]) == self.checksum

    def line(self, change: str) -> bytes:
        """Return the line that adds a change, as JSON without line breaks, to a file of this extent."""
        body = change.encode()
        return b'{"checksum":"%08x","change":%s}\n' % (zlib.crc32(body, self.checksum), body)

    def after(self, line: bytes) -> Self:
        """Return the extent with the next line."""
        return self._replace(size=self.size + len(line), checksum=zlib.crc32(line, self.checksum))

    def changes(self, data: bytes) -> Iterator[tuple[bytes, Self]]:
        """Yield the changes in `data` after this extent, each with the extent that includes it. Raises `Damage`."""
        known = self
        *lines, _ = data[self.size :].split(b"\n")
        for line in lines:
            found = _LINE.fullmatch(line)
            if found is None or int(found[1], 16) != zlib.crc32(found[2], known.checksum):
                raise Damage(f"the change at byte {known.size} does not follow what comes before it")
            known = known.after(line + b"\n")
            yield found[2], known
