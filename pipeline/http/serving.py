"""HTTP servers and sockets of the daemon."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_STOP_TIMEOUT = 5.0
MAX_CONNECTIONS = 200
# Seconds from a connection to its first request.
REQUEST_TIMEOUT = 10.0


def public_socket(address: str) -> socket.socket:
    """Return a listening socket at `HOST:PORT`. Raises `ConfigError`."""
    host, _, port = address.rpartition(":")
    number = whole_number(port, 65535)
    if not host or number is None:
        raise ConfigError(
            f"{address} is not a valid address", hint="use HOST:PORT, such as 127.0.0.1:8080 or [::]:8080"
        )
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Every address, as everywhere else. Without this, Python listens on IPv6 only.
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, number), family=family, dualstack_ipv6=both)
    except OSError as error:
        taken = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise ConfigError(f"cannot listen at {address}: {taken}") from error


def control_config(app: Starlette) -> uvicorn.Config:
    """Return the configuration of a server for the control API. Idle clients are disconnected."""
    from pipeline.http.connections import ConnectionLimits, limited_config

    limits = ConnectionLimits(MAX_CONNECTIONS, lambda: REQUEST_TIMEOUT, until_request=True)
    # Event streams do not end on their own, so they are cut off at shutdown.
    return limited_config(app, limits, timeout_graceful_shutdown=1)


@contextmanager
def http_server(config: uvicorn.Config, listener: socket.socket) -> Iterator[None]:
    """Serve an application on a socket in a thread, until the block ends."""
    server = _Server(config, listener)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(_STOP_TIMEOUT)
        listener.close()


class _Server:
    """A uvicorn server that sleeps until a request or `stop` arrives."""

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
        # uvicorn checks ten times a second whether to shut down, a third of the CPU time of an idle daemon. It awaits
        # this callback before each check, so the check happens only after `stop`.
        self._config.callback_notify = self._wait_for_end
        await self._server.serve(sockets=[self._listener])

    async def _wait_for_end(self) -> None:
        await self._ending.wait()

    def stop(self) -> None:
        """Request the end of `run`. Safe to call from any thread."""
        self._server.should_exit = True
        # Without a loop, `serve` has not started yet, and will see `should_exit`.
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._ending.set)
