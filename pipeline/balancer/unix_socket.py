"""Sockets in a directory of ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def connected(directory: Path, name: str, timeout: float) -> Iterator[socket.socket]:
    """A connection to a socket in `directory`, however long its path: by way of an open directory. Seconds.

    Raises `OSError` where nobody listens.
    """
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(f"/proc/self/fd/{folder}/{name}")
            yield connection
    finally:
        os.close(folder)
