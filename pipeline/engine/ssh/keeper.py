"""The process that keeps one tunnel. It starts ssh again when that ends, and exits with the tunnel's last user.

It is a process because the tunnel outlives the command that starts it. Signals at the death of a parent would tie the
tunnel to one user. So the kernel counts the users by a FIFO, and kills only ssh with this process.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pipeline.base.backoff import Backoff
from pipeline.base.errors import LockHeld
from pipeline.base.files import write_atomically
from pipeline.base.lock import short_lock
from pipeline.engine.ssh.tunnel_files import TunnelFiles

_BACKOFF = Backoff(timedelta(milliseconds=250), timedelta(seconds=5))
# A connection that lasted so long had succeeded.
_STABLE = 10.0
# Milliseconds. The end of ssh ends its output too, unless a program that it has started keeps that open.
_POLL_INTERVAL = 1000
_STOP_TIMEOUT = 2.0
_MAX_OUTPUT = 16 * 1024
_PR_SET_PDEATHSIG = 1


class TunnelKeeper:
    """Runs `command`, which is ssh, while the FIFO at the descriptor `users` has a writer."""

    def __init__(self, files: TunnelFiles, command: Sequence[str], users: int = 0) -> None:
        self._files = files
        self._command = command
        self._users = users
        self._process: subprocess.Popen[bytes] | None = None
        self._output: deque[bytes] = deque(maxlen=_MAX_OUTPUT // 1024)

    def run(self) -> None:
        """Return when the last user has left."""
        backoff = _BACKOFF
        while True:
            started = time.monotonic()
            if self._start() and not self._follow():
                return
            # On a full disk users do not learn the cause. The next attempt is worth more.
            with suppress(OSError):
                write_atomically(self._files.error, b"".join(self._output))
            backoff = backoff.after(succeeded=time.monotonic() - started > _STABLE)
            if not self._pause(backoff.delay()):
                return

    def _start(self) -> bool:
        """Start ssh. Returns False if this is impossible now, as without memory or during an upgrade of ssh."""
        self._output.clear()
        # It stays if its ssh was killed, and would refuse each connection.
        self._files.socket.unlink(missing_ok=True)
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=self._files.folder,
                preexec_fn=_die_with_parent,  # this process has one thread
            )
        except OSError as error:
            self._output.append(f"cannot start ssh: {error}".encode())
            return False
        return True

    def _follow(self) -> bool:
        """Return True when ssh has ended, and False when the last user has left."""
        process = self._process
        assert process is not None
        assert process.stderr is not None
        with process.stderr as errors:
            while True:
                ready = self._poll(_POLL_INTERVAL, errors.fileno())
                if self._users in ready and self._is_last():
                    return False
                part = os.read(errors.fileno(), 1024) if errors.fileno() in ready else None
                if part:
                    self._output.append(part)
                elif part is not None or process.poll() is not None:
                    self._stop()
                    return True

    def _pause(self, delay: timedelta) -> bool:
        """Wait before the next attempt, until a user joins. Returns False when the last user has left."""
        return not (self._poll(int(delay.total_seconds() * 1000)) and self._is_last())

    def _poll(self, milliseconds: int, *others: int) -> set[int]:
        poll = select.poll()
        for descriptor in (self._users, *others):
            poll.register(descriptor, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(milliseconds)}

    def _is_last(self) -> bool:
        """Read what users have written when they joined. If there is none any more, end the tunnel and return True.

        Users join with the lock, so none joins meanwhile.
        """
        if self._has_users():
            return False
        with suppress(LockHeld), short_lock(self._files.lock):
            if not self._has_users():
                self._stop()
                self._files.clear()
                os.close(self._users)
                return True
        return False

    def _has_users(self) -> bool:
        try:
            while os.read(self._users, 1024):
                pass
        except BlockingIOError:
            return True
        return False

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    """Let the kernel kill ssh with this process. A killed ssh removes no socket, which may be that of the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Keep the tunnel of the arguments: a folder, a name, and the command."""
    if os.fork():
        # Without the exit handlers, which are those of the child.
        os._exit(0)
    folder, name, *command = sys.argv[1:]
    TunnelKeeper(TunnelFiles(Path(folder), name), command).run()


if __name__ == "__main__":
    main()
