"""The files of one tunnel in the home."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TunnelFiles:
    """The files of the tunnel `name` in `folder`, which only its owner may read.

    The keeper holds the `users` FIFO open for reading, and each user for writing. So the kernel knows whether there is
    a keeper and whether there is a user, also after a SIGKILL. `lock` is held to join and to leave as the last one.
    """

    folder: Path
    name: str

    @property
    def socket(self) -> Path:
        """The near end of the tunnel."""
        return self.folder / f"{self.name}.sock"

    @property
    def users(self) -> Path:
        """The FIFO."""
        return self.folder / f"{self.name}.users"

    @property
    def lock(self) -> Path:
        """The lock."""
        return self.folder / f"{self.name}.lock"

    @property
    def error(self) -> Path:
        """What the last ssh has written, if it has ended and the next one has not connected."""
        return self.folder / f"{self.name}.error"

    def last_error(self) -> str | None:
        """Return what the last ssh has written, or None while there is none that ended."""
        try:
            return self.error.read_text(errors="replace")
        except OSError:
            return None

    def join(self) -> int | None:
        """Open the FIFO as a user. Closing the descriptor leaves. Returns None if there is no keeper.

        A keeper that waits before its next attempt begins it now. Callers hold the lock.
        """
        try:
            share = os.open(self.users, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None
        self.error.unlink(missing_ok=True)
        # A keeper that ends at this moment, or does not read, is noticed by the missing connection.
        with suppress(OSError):
            os.write(share, b".")
        return share

    def clear(self) -> None:
        """Remove what a tunnel that has ended leaves. Callers hold the lock."""
        for path in (self.socket, self.error):
            path.unlink(missing_ok=True)
