"""A lock that dies with its holder, and says who that is."""

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

_POLL = 0.05
# Who only looks whether a lock is held holds it for an instant, in which it is not.
_LOOKING = 0.2


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock: the process, what for, and since when."""

    purpose: str
    pid: int
    since: datetime


@contextmanager
def short_lock(path: Path) -> Iterator[None]:
    """Hold `path` for a short critical section; others wait their turn."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def work_lock(path: Path, purpose: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold `path` for a long job; if it is taken, try for `wait` seconds.

    The kernel drops the lock when the process ends, however it ends, so there is never a stale one.
    Raises `LockHeld` with the holder's purpose, process id and start.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + max(wait, _LOOKING))
        _write_holder(descriptor, purpose)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds `path` now."""
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
    """Who holds `path` now; None when nobody does, or has not said yet who it is."""
    if not is_held(path):
        return None
    try:
        said = json.loads(path.read_text())
        return LockHolder(said["purpose"], said["pid"], datetime.fromisoformat(said["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockHeld(_describe(path), hint="wait for it with --wait 10m") from None
            time.sleep(_POLL)
        else:
            return


def _write_holder(descriptor: int, purpose: str) -> None:
    holder = {"purpose": purpose, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _describe(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"{holder['purpose']} (process {holder['pid']}) has been working since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"another process holds {path}"
