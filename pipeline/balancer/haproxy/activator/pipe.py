"""One side of a connection that is passed on: it keeps what has arrived until it is joined with the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

# Once so many bytes of a request are kept, no more are read until it is passed on. The rest stays in the kernel and at
# the client. The last read may have 256 KiB, the most that asyncio reads at once, so up to 320 KiB are kept.
_MAX_KEPT = 2**16


class Side(asyncio.Protocol):
    """A connection. `connected` is called once it is there.

    `woken` is set when it ends or when its owner wants it to look again. `closed` is set after its end.
    """

    def __init__(self, connected: Callable[[], None]) -> None:
        self._connected = connected
        self._transport: asyncio.Transport | None = None
        self._other: Side | None = None
        self._kept = bytearray()
        self.woken = asyncio.Event()
        self.closed = asyncio.Event()
        self.has_ended = False
        """Whether the peer sends nothing more."""
        self.is_full = False
        """Whether the peer reads more slowly than it is written to."""

    def connect(self, other: Side) -> None:
        """Pass what arrives to another side from now on. It ends after this one."""
        self._other = other

    def pass_kept(self) -> None:
        """Pass what has arrived to the other side. Both sides know each other, so that each can pause the other."""
        if self._other is None:
            return
        self._other.write(bytes(self._kept))
        self._kept.clear()
        if self._other.is_full:
            self.pause()
        else:
            self.resume()
        if self.has_ended:
            self._other.close()

    def write(self, data: bytes) -> None:
        """Send bytes, unless it has ended."""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what is written, and end."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connected()

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.write(data)
            return
        self._kept += data
        if len(self._kept) >= _MAX_KEPT and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        # A target that has closed its side may still have to be sent the rest of a request, which it does not read.
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self._end()
        self.closed.set()

    def pause_writing(self) -> None:
        self.is_full = True
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._other is not None:
            self._other.resume()

    def _end(self) -> None:
        self.has_ended = True
        self.woken.set()
        if self._other is not None:
            self._other.close()


def join(one: Side, two: Side) -> None:
    """Pass bytes between both sides. When one of them ends, the other gets the rest and ends too."""
    one.connect(two)
    two.connect(one)
    one.pass_kept()
    two.pass_kept()
