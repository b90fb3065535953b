"""A connection of TCP through the path of packets."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.support.path_lab import SERVER, PathLab

_TIMEOUT = 30.0
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)
_PIECE = bytes(range(256)) * 16


class PathConnection:
    """A connection from the client to the server. `peer` is the client as the server sees it."""

    def __init__(self, lab: PathLab, version: int = 4) -> None:
        with lab.socket_at(lab.server, version, socket.SOCK_STREAM) as listening:
            listening.bind((SERVER[version], 0))
            listening.listen()
            with lab.client.entered():
                self.client = socket.create_connection(listening.getsockname()[:2], timeout=_TIMEOUT)
            self.server, self.peer = listening.accept()
        self.server.settimeout(_TIMEOUT)

    def send(self, data: bytes) -> None:
        """Send data to the server and back."""
        for source, target in ((self.client, self.server), (self.server, self.client)):
            sender = Thread(target=source.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                received += target.recv(len(data) - len(received))
            sender.join()
            assert received == data

    @contextmanager
    def streaming(self) -> Iterator[list[float]]:
        """Within the block, data goes to the server and back all the time. Yield the times of each piece's return."""
        times, ended, faults = [time.monotonic()], Event(), list[Exception]()

        def run() -> None:
            try:
                while not ended.is_set():
                    self.send(_PIECE)
                    times.append(time.monotonic())
            except (OSError, AssertionError) as error:
                faults.append(error)

        streamer = Thread(target=run)
        streamer.start()
        try:
            yield times
        finally:
            ended.set()
            streamer.join()
        assert faults == []

    def reset(self) -> None:
        """Close both ends with RST."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)
        self.close()

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.server.close()
