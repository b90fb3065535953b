"""A file in memory that other programs can open by a path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_file(content: bytes = b"") -> Iterator[Path]:
    """Yield the path of a file that ends with this process, also if it is killed. It is on no disk."""
    descriptor = os.memfd_create("penstock")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        # A program that a child starts inherits no file, so the path names this process.
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
