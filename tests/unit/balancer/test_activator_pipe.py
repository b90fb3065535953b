"""Both sides of a request that the activator passes on."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from pipeline.balancer.haproxy.activator.pipe import Side, join
from tests.support.waiting import DEADLINE


class Peer(asyncio.Transport):
    """A peer that reads nothing. It is full once it was sent more than `limit` bytes."""

    def __init__(self, side: Side, limit: int = 100) -> None:
        super().__init__()
        self.side, self.limit = side, limit
        self.sent = b""
        self.reads = True
        side.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        was_full = len(self.sent) > self.limit
        self.sent += data
        if not was_full and len(self.sent) > self.limit:
            self.side.pause_writing()

    def is_closing(self) -> bool:
        """Return False."""
        return False

    def pause_reading(self) -> None:
        """Stop."""
        self.reads = False

    def resume_reading(self) -> None:
        """Read on."""
        self.reads = True


def peer() -> Peer:
    """Return the peer of a new side."""
    return Peer(Side(lambda: None))


def test_a_target_that_reads_slowly_pauses_its_client() -> None:
    """Also if the part that was kept fills it. Otherwise, the rest of a body of any size would be in memory."""
    client, target = peer(), peer()
    client.side.data_received(b"x" * 200)
    join(client.side, target.side)
    assert (target.sent, client.reads) == (b"x" * 200, False)
    target.side.resume_writing()
    assert client.reads
    target.side.pause_writing()
    assert not client.reads


def test_a_client_that_reads_slowly_pauses_its_target() -> None:
    """A target may send before it has got the request. Its client is not paused for that."""
    client, target = peer(), peer()
    client.side.data_received(b"x" * 70_000)
    assert not client.reads
    target.limit = 100_000
    target.side.data_received(b"y" * 200)
    join(client.side, target.side)
    assert (client.sent, client.reads, target.reads) == (b"y" * 200, True, False)


def test_what_is_kept_has_a_limit() -> None:
    """320 KiB, of which docs/strategies.md tells, whatever a client sends."""

    async def kept() -> int:
        loop = asyncio.get_running_loop()
        side = Side(lambda: None)
        near, far = socket.socketpair()
        with far:
            far.setblocking(False)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
            transport, _ = await loop.create_connection(lambda: side, sock=near)
            async with asyncio.timeout(DEADLINE):
                while transport.is_reading():
                    with suppress(BlockingIOError):
                        far.send(b"x" * 65_000)
                    await asyncio.sleep(0)
            other = peer()
            join(side, other.side)
            transport.abort()
            return len(other.sent)

    assert 2**16 <= asyncio.run(kept()) <= 320 * 1024
