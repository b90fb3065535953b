"""Tunnels that stay open while a run may use them again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.engine.ssh.tunnel import Tunnel


class KeptTunnels:
    """Keeps one share in each tunnel that is left within a block, until the last block ends. Safe from any thread.

    A run connects to its hosts several times, and each time the last user leaves, ssh would end and connect again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._kept: dict[str, Tunnel] = {}

    @contextmanager
    def block(self) -> Iterator[None]:
        """Keep the tunnels that are left within the block. Blocks may overlap."""
        with self._lock:
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                ended = [] if self._blocks else list(self._kept.values())
                if ended:
                    self._kept = {}
            for tunnel in ended:
                tunnel.close()

    def leave(self, tunnel: Tunnel) -> None:
        """Close a tunnel, or keep it if none to the same engine is kept. Safe to repeat."""
        with self._lock:
            is_kept = self._blocks > 0 and self._kept.setdefault(tunnel.path, tunnel) is tunnel
        if not is_kept:
            tunnel.close()


KEPT = KeptTunnels()
"""The tunnels of this process."""
