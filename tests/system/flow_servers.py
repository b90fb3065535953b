"""Servers of TCP and UDP at many addresses, in one thread. Each line is answered with the address and the peer."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress


class FlowServers:
    """The servers, in the network namespace of the thread that makes them."""

    def __init__(self, addresses: Iterable[str], port: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                server = socket.socket(family, kind)
                server.bind((address, port))
                server.setblocking(False)
                if kind == socket.SOCK_STREAM:
                    server.listen(4096)
                self._selector.register(
                    server, selectors.EVENT_READ, _accept if kind == socket.SOCK_STREAM else _answer
                )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all servers and their connections."""
        self._waker.send(b".")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._waker.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return
                key.data(self._selector, key.fileobj)


def _accept(selector: selectors.BaseSelector, server: socket.socket) -> None:
    with suppress(OSError):
        accepted, _ = server.accept()
        accepted.setblocking(False)
        selector.register(accepted, selectors.EVENT_READ, _answer)


def _answer(selector: selectors.BaseSelector, flow: socket.socket) -> None:
    is_stream = flow.type == socket.SOCK_STREAM
    with suppress(OSError):
        data, peer = flow.recvfrom(200)
        client = flow.getpeername() if is_stream else peer
        if data:
            answer = f"{flow.getsockname()[0]} {client[0]}:{client[1]}\n".encode()
            _ = flow.send(answer) if is_stream else flow.sendto(answer, client)
            return
    if is_stream:
        selector.unregister(flow)
        flow.close()
