"""Where the daemon can be reached."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_PATIENCE = 5.0
MAX_CONNECTIONS = 200
# Seconds from a connection to its first request.
MAX_SILENCE = 10.0


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
    """Return how to serve the control API. A client that sends nothing does not use up what others need."""
    from pipeline.http.connections import ConnectionLimits, limited_config

    limits = ConnectionLimits(MAX_CONNECTIONS, lambda: MAX_SILENCE, until_request=True)
    # Followers have no end of their own.
    return limited_config(app, limits, timeout_graceful_shutdown=1)


@contextmanager
def http_server(config: uvicorn.Config, listener: socket.socket) -> Iterator[None]:
    """Serve an application on a socket, in a thread, as long as this is entered."""
    server = _Server(config, listener)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(_PATIENCE)
        listener.close()


class _Server:
    """A server of uvicorn's that sleeps until it is asked, or is to end."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        import uvicorn

        self._config = config
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        # uvicorn looks ten times a second whether it is to end, which costs a third of all that an idle daemon takes.
        # Before it looks it awaits this, so it looks when there is something to see.
        self._config.callback_notify = self._wait_for_end
        await self._server.serve(sockets=[self._listener])

    async def _wait_for_end(self) -> None:
        await self._ending.wait()

    def stop(self) -> None:
        """End soon. Safe from any thread."""
        self._server.should_exit = True
        # Without a loop, `serve` has not begun, and finds that it is to end.
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._ending.set)
