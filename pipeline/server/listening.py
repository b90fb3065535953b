"""Where the daemon can be reached: a socket in its home, and addresses where they are wished for."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, SystemFault
from pipeline.unix_socket import short_path

if TYPE_CHECKING:
    import uvicorn

_PATIENCE = 5.0
# How late a server may notice that it is to end, in seconds.
_TICK = 0.5


def private_socket(path: Path) -> socket.socket:
    """A listening socket at `path` that only its owner may open. The caller knows that nobody else uses it."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # In a directory of mode 0700, and with this mode from its first moment.
    mask = os.umask(0o177)
    try:
        with short_path(path.parent, path.name) as short:
            listener.bind(short)
    except OSError as error:
        raise SystemFault(f"cannot listen at {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    listener.listen()
    return listener


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


@contextmanager
def answering(config: uvicorn.Config, listener: socket.socket) -> Iterator[None]:
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
