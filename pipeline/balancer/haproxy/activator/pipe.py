"""One side of a connection that is passed on: it keeps what has arrived until it is joined with the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

# Bytes of a request that are read while it is held. The rest stays in the kernel and at the client.
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

    def join(self, other: Side) -> None:
        """Pass bytes between both sides from now on. When one of them ends, the other gets the rest and ends too."""
        for one, two in ((self, other), (other, self)):
            one._other = two
            two._write(bytes(one._kept))
            one._kept.clear()
            one._resume()
        for one, two in ((self, other), (other, self)):
            if one.has_ended:
                two.close()

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
            self._other._write(data)
            return
        self._kept += data
        if len(self._kept) >= _MAX_KEPT and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        # A target that has closed its side may still have to be sent the rest of a request, which it does not read.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.closed.set()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other._pause()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other._resume()

    def _end(self) -> None:
        self.has_ended = True
        self.woken.set()
        if self._other is not None:
            self._other.close()

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
