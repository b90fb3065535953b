"""A file made of chunks, such as a tar that the engine sends."""

from __future__ import annotations

import io
from collections.abc import Iterator


class ChunkStream(io.RawIOBase):
    """A file that reads its content from chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or fewer at the end."""
        parts: list[bytes] = []
        while size:
            if not self._rest:
                chunk = next(self._chunks, b"")
                if not chunk:
                    break
                self._rest = memoryview(chunk)
            part, self._rest = bytes(self._rest[:size]), self._rest[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
