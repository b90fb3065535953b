"""HTTP servers that respond as releases do: `python -m bench.release_servers` prints their ports as a JSON object.

All times are lognormal with a median of 30 ms and a p99 of 96 ms.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_MEDIAN, _SIGMA = 0.03, 0.5
# A twentieth of the responses takes longer: 1.645 is that quantile of the normal distribution.
_SLOWEST_FROM = _MEDIAN * math.exp(1.645 * _SIGMA)
_HEALTH = b"GET /healthz "
_BODIES = {status: b"HTTP/1.1 %d Sent\r\nContent-Length: 2\r\n\r\nok" % status for status in (200, 500)}


@dataclass(frozen=True)
class Behaviour:
    """The share of requests that fail, and how many times longer the slowest twentieth of the responses takes."""

    failing: float = 0.001
    tail: float = 1.0

    def draw(self, source: random.Random) -> tuple[int, float]:
        """Return the status of a response and its time in seconds."""
        seconds = _MEDIAN * source.lognormvariate(0, _SIGMA)
        status = 500 if source.random() < self.failing else 200
        return status, seconds * (self.tail if seconds > _SLOWEST_FROM else 1)


RELEASES = {
    "previous": Behaviour(),
    "equal": Behaviour(),
    "2 % of 500s": Behaviour(failing=0.02),
    "30 % slower at p99": Behaviour(tail=1.3),
}


@contextmanager
def release_servers() -> Iterator[dict[str, int]]:
    """Run the servers in a process, and yield their ports by name."""
    command = [sys.executable, "-m", "bench.release_servers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


"""Releases by what is wrong with them."""


class _Connection(asyncio.Protocol):
    """A connection, whose requests have no body and come one after the other."""

    def __init__(self, behaviour: Behaviour, source: random.Random) -> None:
        self._behaviour = behaviour
        self._source = source
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(b"\r\n\r\n"):
            return
        is_check, self._buffer = self._buffer.startswith(_HEALTH), b""
        status, seconds = (200, 0.0) if is_check else self._behaviour.draw(self._source)
        asyncio.get_running_loop().call_later(seconds, self._respond, _BODIES[status])

    def _respond(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)


async def _serve() -> None:
    loop, source, servers = asyncio.get_running_loop(), random.Random(16), {}
    for name, behaviour in RELEASES.items():
        servers[name] = await loop.create_server(
            lambda chosen=behaviour: _Connection(chosen, source), "127.0.0.1", 0, backlog=1024
        )
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers.values()))


if __name__ == "__main__":
    asyncio.run(_serve())
