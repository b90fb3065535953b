"""Requests at random times, whatever the responses take: `python -m bench.open_load RATE PORT…`.

Each port gets RATE requests a second until the input ends. Then the numbers of requests and of failures are printed.
"""

from __future__ import annotations

import asyncio
import random
import sys

_REQUEST = b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"
_END, _CLOSE = b"ok", b"\r\nconnection: close\r\n"


class _Client(asyncio.Protocol):
    """A kept connection with one request at a time."""

    def __init__(self, load: Load, port: int) -> None:
        self._load = load
        self._port = port
        self._buffer = b""
        self._is_asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        self._is_asking = True
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(_END):
            return
        is_kept = _CLOSE not in self._buffer.lower()
        self._buffer, self._is_asking = b"", False
        if is_kept:
            self._load.idle[self._port].append(self)
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._is_asking:
            self._load.failures += 1
        elif self in self._load.idle[self._port]:
            self._load.idle[self._port].remove(self)


class Load:
    """The clients of each port."""

    def __init__(self, rate: float, ports: list[int]) -> None:
        self._rate = rate
        self.idle: dict[int, list[_Client]] = {port: [] for port in ports}
        self.sent = self.failures = 0

    async def run(self, port: int) -> None:
        """Send requests to a port, as a Poisson process."""
        loop, due = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        while True:
            due += random.expovariate(self._rate)
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self.sent += 1
            if self.idle[port]:
                self.idle[port].pop().ask()
            else:
                _, client = await loop.create_connection(lambda: _Client(self, port), "127.0.0.1", port)
                client.ask()


async def _main(rate: float, ports: list[int]) -> None:
    load = Load(rate, ports)
    tasks = [asyncio.ensure_future(load.run(port)) for port in ports]
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([*tasks, asyncio.ensure_future(ended)], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    failed = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(error, OSError)]
    print(load.sent, load.failures + len(failed), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
