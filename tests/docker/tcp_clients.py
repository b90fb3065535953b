"""Clients of a TCP service that answers each line: many short connections, and some that last."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.waiting import DEADLINE

_PAUSE = 0.05


class TcpClients:
    """Threads that connect without pause. `answers`: how often each version answered. `failures`: what went wrong.

    `lasting`: connections that were open for `seconds` and were closed by their client. `cut`: those that ended before.
    """

    def __init__(self, port: int, seconds: float, address: str = "127.0.0.1") -> None:
        self._place, self._seconds = (address, port), seconds
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.lasting = 0
        self.cut: list[str] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def running(self, short: int = 3, lasting: int = 3) -> Iterator[TcpClients]:
        """Connect from as many threads each, until the block ends and the last connection is closed."""
        threads = [threading.Thread(target=self._connect, args=(0.0,)) for _ in range(short)]
        threads += [threading.Thread(target=self._connect, args=(self._seconds,)) for _ in range(lasting)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _connect(self, seconds: float) -> None:
        while not self._ended.is_set():
            try:
                connection = socket.create_connection(self._place, timeout=DEADLINE)
            except OSError as error:
                self.failures.append(f"connect: {error}")
                continue
            with connection:
                self._talk(connection, time.monotonic() + seconds)

    def _talk(self, connection: socket.socket, until: float) -> None:
        """Ask at least once, and then until a moment."""
        asked, lasts = 0, until > time.monotonic()
        try:
            with connection.makefile("rb") as lines:
                while not asked or time.monotonic() < until:
                    connection.sendall(b"hello\n")
                    version, _, said = lines.readline().partition(b" ")
                    if said != b"hello\n":
                        raise ConnectionError("the connection ended")
                    asked += 1
                    with self._lock:
                        self.answers[version.decode()] += 1
                    if lasts:
                        self._ended.wait(_PAUSE)
        except OSError as error:
            (self.cut if asked else self.failures).append(str(error))
            return
        with self._lock:
            self.lasting += lasts
