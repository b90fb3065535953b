"""Notifications to systemd: that the daemon is ready, and that it works.

systemd kills and restarts a daemon that does not notify it in time, because it is stopped or hangs. HAProxy and the
containers keep running meanwhile.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import timedelta

from pipeline.base.clock import Clock

# Without progress of the daemon's loop for this long, the notifications end. It may wait for a lock or a slow disk.
_MAX_SILENCE = 60.0


class Watchdog:
    """The connection to systemd that the environment describes. Without one, every call does nothing.

    It is removed from the environment, because child processes must not use it.
    """

    def __init__(self, environ: MutableMapping[str, str], clock: Clock) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        given, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        meant = given.isdigit() and pid in ("", str(os.getpid()))
        self._interval = timedelta(microseconds=int(given)) / 3 if meant else None
        self._clock = clock
        self._stopping = threading.Event()
        self._progress = clock.monotonic()

    def ready(self) -> None:
        """Notify systemd that the daemon is ready, and from now on that it works."""
        self._notify("READY=1")
        if self._address and self._interval:
            threading.Thread(target=self._run, args=(self._interval,), name="watchdog", daemon=True).start()

    def progress(self) -> None:
        """Record that the daemon's loop has completed a round. Safe from any thread."""
        self._progress = self._clock.monotonic()

    def stop(self) -> None:
        """Record that the daemon's loop has ended. The notifications continue while the daemon waits for its runs."""
        self._stopping.set()

    def _run(self, interval: timedelta) -> None:
        while self._stopping.is_set() or self._clock.monotonic() - self._progress < _MAX_SILENCE:
            self._notify("WATCHDOG=1")
            self._clock.wait(threading.Event(), interval)

    def _notify(self, text: str) -> None:
        if self._address:
            address = self._address.replace("@", "\0", 1) if self._address.startswith("@") else self._address
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.sendto(text.encode(), address)
