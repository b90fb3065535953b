"""A disk without space."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def fill(disk: Path) -> None:
    """Fill a small disk to its last block."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"a" * 4096)
