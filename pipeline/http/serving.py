"""HTTP servers and sockets of the daemon."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator
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
        listener = socket.create_server((host, number), family=family, dualstack_ipv6=both)
    except OSError as error:
        taken = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise ConfigError(f"cannot listen at {address}: {taken}") from error
    # Connections inherit it. asyncio sets it only on sockets whose protocol number is given. Without it, the body of a
    # response on a kept connection waits 40 ms for the client's acknowledgement of the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def control_config(app: Starlette) -> uvicorn.Config:
    """Return the configuration of a server for the control API. Idle clients are disconnected."""
    from pipeline.http.connections import ConnectionLimits, limited_config

    limits = ConnectionLimits(MAX_CONNECTIONS, lambda: REQUEST_TIMEOUT, until_request=True)
    # Event streams do not end on their own, so they are cut off at shutdown.
    return limited_config(app, limits, timeout_graceful_shutdown=1)


@contextmanager
def http_server(config: Callable[[], uvicorn.Config], listener: socket.socket) -> Iterator[None]:
    """Serve an application on a socket in a thread, until the block ends.

    `config` is called in that thread at the first connection.
    """
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
    """A uvicorn server that sleeps until a request or `stop` arrives.

    It is loaded at the first connection, because it takes 4 MB. A daemon that only follows a repository needs none.
    """

    def __init__(self, config: Callable[[], uvicorn.Config], listener: socket.socket) -> None:
        self._config = config
        self._listener = listener
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ending = False
        self._ending = asyncio.Event()

    def run(self) -> None:
        readable = select.poll()
        readable.register(self._listener, select.POLLIN)
        readable.poll()
        if not self._is_ending:
            asyncio.run(self._run())

    async def _run(self) -> None:
        import uvicorn

        config = self._config()
        # uvicorn checks ten times a second whether to shut down, a third of the CPU time of an idle daemon. It awaits
        # this callback before each check, so the check happens only after `stop`.
        config.callback_notify = self._wait_for_end
        self._server = uvicorn.Server(config)
        self._loop = asyncio.get_running_loop()
        # `stop` sets this first, and then looks for the loop.
        if not self._is_ending:
            await self._server.serve(sockets=[self._listener])

    async def _wait_for_end(self) -> None:
        await self._ending.wait()

    def stop(self) -> None:
        """Request the end of `run`. Safe to call from any thread."""
        self._is_ending = True
        if self._loop is None or self._server is None:
            # It waits for a connection.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            return
        self._server.should_exit = True
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ending.set)
