"""Clients of the applications in examples/: one sends orders, and one keeps a WebSocket open."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

TIMEOUT = 15.0


def orders(port: int) -> dict[str, int]:
    """Return the number of orders, and of those that the worker has shipped."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("GET", "/orders")
    found: dict[str, int] = json.loads(connection.getresponse().read())
    return found


class Client(threading.Thread):
    """A client that works until `finish`. `failures` has the reason of each failure."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.failures: list[str] = []
        self.done = 0
        self.finished = threading.Event()

    def finish(self) -> None:
        """Stop after the request in flight."""
        self.finished.set()
        self.join()


class Orders(Client):
    """Sends five orders a second, each over a new connection. `done` were accepted, `sent` is the number of all."""

    sent = 0

    def run(self) -> None:
        """Send orders."""
        while not self.finished.wait(0.2):
            self.sent += 1
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
                connection.request("POST", "/orders", b"order", {"Content-Type": "text/plain"})
                status = connection.getresponse().status
                connection.close()
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if status == 201:
                self.done += 1
            else:
                self.failures.append(f"status {status}")


class Socket(Client):
    """Keeps a WebSocket open, and connects again at once when it is closed. `done` messages came back.

    `goodbyes` counts closings with the code 1012, `cuts` those without a code, and `away` is the longest time without a
    connection, in seconds.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.goodbyes = 0
        self.cuts = 0
        self.away = 0.0

    def run(self) -> None:
        """Send messages and wait for each to come back."""
        closed: float | None = None
        while not self.finished.is_set():
            try:
                with connect(f"ws://127.0.0.1:{self.port}/ws") as socket:
                    if closed is not None:
                        self.away = max(self.away, time.monotonic() - closed)
                    closed = None
                    self._exchange(socket)
            except ConnectionClosed as error:
                closed = time.monotonic()
                polite = error.rcvd is not None and error.rcvd.code == 1012
                self.goodbyes += polite
                self.cuts += not polite
            except (OSError, WebSocketException) as error:
                closed = closed or time.monotonic()
                self.failures.append(repr(error))

    def _exchange(self, socket: Any) -> None:
        while not self.finished.wait(0.05):
            socket.send("hello")
            if (answer := socket.recv(timeout=TIMEOUT)) != "hello":
                self.failures.append(f"the answer was {answer!r}")
            self.done += 1
