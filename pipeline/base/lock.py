"""File locks that are released with their process and name their holder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.base.errors import LockHeld

_POLL_INTERVAL = 0.05
# `is_held` takes the lock for an instant. Retry this long, so a probe is not mistaken for a holder.
_PROBE_TIMEOUT = 0.2


@dataclass(frozen=True)
class LockHolder:
    """The holder of a lock: its purpose, its process and its start time."""

    purpose: str
    pid: int
    since: datetime


@contextmanager
def short_lock(path: Path) -> Iterator[None]:
    """Hold `path` for a short critical section. Blocks until the lock is free."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def work_lock(path: Path, purpose: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold `path` for a long job. If it is held, retry for `wait` seconds.

    The kernel releases the lock when the process ends for any reason, so it is never stale.
    Raises `LockHeld` with the holder's purpose, process id and start time.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + max(wait, _PROBE_TIMEOUT))
        _write_holder(descriptor, purpose)
        yield
    finally:
        os.close(descriptor)


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
    if not is_held(path):
        return None
    try:
        written = json.loads(path.read_text())
        return LockHolder(written["purpose"], written["pid"], datetime.fromisoformat(written["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockHeld(_describe(path), hint="wait for it with --wait 10m") from None
            time.sleep(_POLL_INTERVAL)
        else:
            return


def _write_holder(descriptor: int, purpose: str) -> None:
    holder = {"purpose": purpose, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _describe(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"{holder['purpose']} (pid {holder['pid']}) has been running since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"another process holds {path}"
