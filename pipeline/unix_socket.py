"""Sockets in a directory of ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import SystemFault


@contextmanager
def short_path(directory: Path, name: str) -> Iterator[str]:
    """A path of a socket in `directory` that is short enough for the kernel, however long the directory's is."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


@contextmanager
def connected(directory: Path, name: str, timeout: float) -> Iterator[socket.socket]:
    """A connection to a socket in `directory`. `timeout` in seconds.

    Raises `OSError` where nobody listens.
    """
    with short_path(directory, name) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        yield connection


def private_socket(path: Path) -> socket.socket:
    """A listening socket at `path` that only its owner may open. The caller knows that nobody else uses it."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path.parent, path.name) as short:
            listener.bind(short)
            # Before it listens, nobody gets in anyway.
            Path(short).chmod(0o600)
    except OSError as error:
        listener.close()
        raise SystemFault(f"cannot listen at {path}: {error.strerror or error}") from error
    listener.listen()
    return listener
