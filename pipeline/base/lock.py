"""File locks that are released with their process and name their holder.

Every wait has a limit. It is some seconds if the holder is stopped, as by Ctrl-Z, or if the user has interrupted the
waiting process.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pipeline.base.errors import Cancelled, LockHeld, PenstockError, StoreFault
from pipeline.base.interrupt import is_interrupted
from pipeline.base.small_file import read_small_file

_MIN_POLL, _MAX_POLL = 0.001, 0.05
# `is_held` takes the lock for an instant. Retry this long, so a probe is not mistaken for a holder.
_PROBE_TIMEOUT = 0.2
# For a critical section. The longest of them starts HAProxy, which is given 30 s.
SECTION_TIMEOUT = 60.0
# For a holder that is stopped, which may be continued soon, and for a process that was interrupted.
_SHORT_TIMEOUT = 5.0
# A cancelled wait is noticed after this.
_ATTEMPT = 0.5
WAIT_HINT = "wait for it with --wait 10m"
"""The hint for a command that can wait for a lock."""


@dataclass(frozen=True)
class LockHolder:
    """The holder of a lock: its purpose, its process and its start time. `stopped`: its process does not execute."""

    purpose: str
    pid: int
    since: datetime
    stopped: bool = False

    @property
    def state(self) -> str:
        """The state of a stopped holder, as the predicate of a sentence. Else empty."""
        return "is stopped by Ctrl-Z or SIGSTOP" if self.stopped else ""

    @property
    def remedy(self) -> str | None:
        """A command for a stopped holder. Else None."""
        pid = self.pid
        return f"continue it with `fg` or `kill -CONT {pid}`, or end it with `kill -9 {pid}`" if self.stopped else None


@contextmanager
def short_lock(path: Path, timeout: float = SECTION_TIMEOUT) -> Iterator[None]:
    """Hold `path` for a short critical section.

    Raises `LockHeld` with the command, the process id and the start time of the holder if the lock is not free after
    `timeout` seconds. After 5 s if the holder is stopped, or if this process was interrupted.
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, timeout, _section_error)
        command = _own_command()
        # The daemon takes a lock each second, and should not write to the disk each second.
        if not _is_named(path, command):
            _write_holder(descriptor, command)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def work_lock(path: Path, purpose: str, *, wait: float = 0.0, hint: str = WAIT_HINT) -> Iterator[None]:
    """Hold `path` for a long job. If it is held, retry for `wait` seconds. Less if `short_lock` would wait less.

    The kernel releases the lock when the process ends for any reason, so it is never stale.
    Raises `LockHeld` with the holder's purpose, process id, start time and `hint`, and `Cancelled` if this process was
    interrupted.
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, max(wait, _PROBE_TIMEOUT), partial(_work_error, hint=hint))
        _write_holder(descriptor, purpose)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def cancellable_lock(path: Path, purpose: str, cancelled: threading.Event, timeout: float) -> Iterator[None]:
    """Hold `path` for a long job, after other processes. Raises `LockHeld` after `timeout` seconds, and `Cancelled`."""
    with ExitStack() as stack:
        deadline = time.monotonic() + timeout
        while True:
            try:
                stack.enter_context(work_lock(path, purpose, wait=_ATTEMPT))
                break
            except LockHeld:
                if cancelled.is_set():
                    raise Cancelled("cancelled while waiting for another process") from None
                if time.monotonic() > deadline:
                    raise
        yield


def is_held(path: Path) -> bool:
    """Return True if a process holds `path` now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def holder(path: Path) -> LockHolder | None:
    """Return the holder of `path`. None if it is free, or if its holder has not written its name yet."""
    return _written_holder(path) if is_held(path) else None


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger, so that it does not execute."""
    try:
        state = read_small_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"T", b"t")


def resume_stopped(pids: Iterable[int]) -> tuple[int, ...]:
    """Continue those of these processes that a signal has stopped, and return them."""
    found = tuple(pid for pid in pids if is_stopped(pid))
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return found


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreFault(f"cannot open {path}: {error.strerror}", hint="make its folder writable") from error


def _acquire(descriptor: int, path: Path, timeout: float, error: Callable[[Path], PenstockError]) -> None:
    started, pause = time.monotonic(), _MIN_POLL
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited >= timeout or (waited >= _SHORT_TIMEOUT and _is_futile(path)):
                raise error(path) from None
            time.sleep(pause)
            pause = min(2 * pause, _MAX_POLL)
        else:
            return


def _is_futile(path: Path) -> bool:
    found = _written_holder(path)
    return is_interrupted() or (found is not None and found.stopped)


def _write_holder(descriptor: int, purpose: str) -> None:
    holder = {"purpose": purpose, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    # On a full disk the lock file has no name in it. The lock still holds.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _is_named(path: Path, command: str) -> bool:
    found = _written_holder(path)
    return found is not None and (found.purpose, found.pid) == (command, os.getpid())


def _own_command() -> str:
    # Without the arguments, which may be secret.
    program = Path(sys.argv[0]).name.replace("main.py", "pipeline")
    return " ".join((program, *sys.argv[1:2]))


def _written_holder(path: Path) -> LockHolder | None:
    try:
        written = json.loads(path.read_text())
        pid = int(written["pid"])
        return LockHolder(written["purpose"], pid, datetime.fromisoformat(written["since"]), is_stopped(pid))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _section_error(path: Path) -> LockHeld:
    found = _written_holder(path)
    if found is None:
        return LockHeld(f"another process holds {path}", hint=f"`fuser {path}` names it")
    text = f"{found.purpose} (pid {found.pid}, seen first at {found.since.isoformat()}) holds {path}"
    hint = f"if it hangs, end it with `kill -9 {found.pid}`: the next command completes what it began"
    return LockHeld(f"{text} and {found.state}" if found.state else text, hint=found.remedy or hint)


def _work_error(path: Path, hint: str) -> PenstockError:
    if is_interrupted():
        return Cancelled("cancelled while waiting for another process")
    found = _written_holder(path)
    if found is None:
        return LockHeld(f"another process holds {path}", hint=hint)
    text = f"{found.purpose} (pid {found.pid}) has been running since {found.since.isoformat()}"
    return LockHeld(f"{text} and {found.state}" if found.state else text, hint=found.remedy or hint)
