"""New connections at a steady rate, each with one request, from a network namespace."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from tests.support.namespace import Namespace

_THREADS, _TIMEOUT = 6, 5.0
_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


@dataclass
class Connections:
    """The connections so far. `failures` has the reason of each that got no response."""

    made: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def paced_connections(client: Namespace, address: tuple[str, int], rate: int) -> Iterator[Connections]:
    """Make `rate` connections a second during the block, and yield their count."""
    found, lock, ended = Connections(), threading.Lock(), threading.Event()

    def connect_repeatedly() -> None:
        due = time.monotonic()
        with client.entered():
            while not ended.is_set():
                due += _THREADS / rate
                time.sleep(max(0.0, due - time.monotonic()))
                failure = _failure(address)
                with lock:
                    found.made += 1
                    found.failures += [failure] if failure else []

    threads = [threading.Thread(target=connect_repeatedly) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _failure(address: tuple[str, int]) -> str:
    """Make one connection, and return why it got no response, or an empty text."""
    response = b""
    try:
        with closing(socket.create_connection(address, _TIMEOUT)) as connection:
            connection.sendall(_REQUEST)
            while part := connection.recv(4096):
                response += part
    except OSError as error:
        return str(error)
    return "" if response.startswith(b"HTTP/1.1 200") else f"response {response[:40]!r}"
