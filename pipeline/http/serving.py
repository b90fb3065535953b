"""Where the daemon can be reached."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_PATIENCE = 5.0
_MOST_CONNECTIONS = 200
# Seconds from a connection to its first request.
_SILENCE = 10.0
# How late a server may notice that it is to end, in seconds.
_TICK = 0.5


def public_socket(address: str) -> socket.socket:
    """A listening socket at `HOST:PORT`. Raises `ConfigError`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{address} is no address", hint="write HOST:PORT, such as 127.0.0.1:8080 or [::]:8080")
    host = host.strip("[]")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        taken = "somebody listens there already" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise ConfigError(f"cannot listen at {address}: {taken}") from error


def control_config(app: Starlette) -> uvicorn.Config:
    """How to serve the control API: whoever opens connections and says nothing does not use up what others need."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > _MOST_CONNECTIONS:
                transport.abort()
            self._limit = self.loop.call_later(_SILENCE, self._end_if_silent)

        def connection_lost(self, exc: Exception | None) -> None:
            self._limit.cancel()
            super().connection_lost(exc)

        def _end_if_silent(self) -> None:
            if self.cycle is None:
                self.transport.abort()

    return uvicorn.Config(
        app,
        http=Connection,
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        # Followers have no end of their own.
        timeout_graceful_shutdown=1,
    )


@contextmanager
def http_server(config: uvicorn.Config, listener: socket.socket) -> Iterator[None]:
    """Serve an application on a socket, in a thread, as long as this is entered."""
    import uvicorn

    class Server(uvicorn.Server):
        async def main_loop(self) -> None:
            """As its own, which looks ten times a second and so costs a third of all that an idle daemon takes."""
            while not await self.on_tick(0):
                await asyncio.sleep(_TICK)

    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()
