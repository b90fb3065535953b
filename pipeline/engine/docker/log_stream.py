"""The output of a container as Docker has kept it, and as it grows. Made for ten thousand lines a second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipeline.base.errors import EngineFault
from pipeline.base.sockets import has_input
from pipeline.engine.console import STAMP_LENGTH
from pipeline.engine.docker.frames import FrameReader
from pipeline.engine.docker.wire import Opened

_CHUNK = 1024 * 1024


class DockerLogStream:
    """Lines of a container's log, each with the time at which Docker got it, in the order of Docker."""

    def __init__(self, opened: Opened) -> None:
        self._connection, self._rest = opened
        self._frames = FrameReader()
        # The begun lines of stdout and stderr. Docker cuts lines of more than 16 KiB.
        self._begun: dict[int, bytes] = {}

    def arrived(self) -> list[bytes] | None:
        """Return the lines that have arrived, without waiting. None after the end."""
        lines: list[bytes] = []
        while True:
            lines += self._lines(self._rest)
            self._rest = b""
            if not has_input(self._connection):
                return lines
            self._rest = self._receive()
            if not self._rest:
                return lines or None

    def all(self) -> Iterator[bytes]:
        """Yield every line until the end."""
        while True:
            yield from self._lines(self._rest)
            self._rest = self._receive()
            if not self._rest:
                return

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        self._connection.close()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(_CHUNK)
        except OSError as error:
            raise EngineFault(f"lost the connection to Docker: {error}") from error

    def _lines(self, data: bytes) -> Iterator[bytes]:
        begun = self._begun
        for source, content in self._frames.feed(data):
            line = content
            if begun and source in begun:
                line = begun.pop(source) + content[STAMP_LENGTH + 1 :]
            if line.endswith(b"\n"):
                yield line[:-1]
            else:
                begun[source] = line


def unix_time(stamp: bytes) -> str:
    """Return the time of a line as Docker's parameter `since`: seconds with nine decimals."""
    text = stamp.decode()
    seconds = int(datetime.fromisoformat(f"{text[:19]}+00:00").timestamp())
    return f"{seconds}.{text[20:29]}"
