"""A capture of the packets on an interface, as a file of pcap."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.namespace import Namespace

_ALL, _ETHERNET = 3, 1
_MAGIC, _MAX_LENGTH = 0xA1B2C3D4, 65535
# A header for each packet: seconds, microseconds, its bytes in the file, its bytes on the wire.
_RECORD = struct.Struct("=IIII")
_BUFFER = 64 << 20


class PacketCapture:
    """The first `limit` packets of an interface in a namespace while its block runs. Needs root.

    `path` is complete after the block.
    """

    def __init__(self, namespace: Namespace, interface: str, path: Path, limit: int = 100_000) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)
        self._socket.bind((interface, _ALL))
        self.path = path
        self._limit = limit
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._socket.close()

    def _write(self) -> None:
        with self.path.open("wb") as file:
            file.write(struct.pack("=IHHiIII", _MAGIC, 2, 4, 0, 0, _MAX_LENGTH, _ETHERNET))
            for _ in range(self._limit):
                ready, _, _ = select.select([self._socket, self._ended], [], [])
                # What has come before the end of the block is still written.
                if self._socket not in ready:
                    return
                frame = self._socket.recv(_MAX_LENGTH)
                now = time.time_ns() // 1000
                file.write(_RECORD.pack(now // 10**6, now % 10**6, len(frame), len(frame)) + frame)
