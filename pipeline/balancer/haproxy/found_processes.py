"""The processes of the HAProxy of a directory. Agents import this module, which starts and stops nothing."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.base.small_file import read_small_file

PID_FILE = "haproxy.pid"


def running(directory: Path) -> int | None:
    """Return the master's pid, or None.

    The pid file may be outdated, damaged or removed. Then the processes of the machine are searched.
    """
    try:
        pid = int(read_small_file(f"{directory}/{PID_FILE}"))
    except (OSError, ValueError):
        pid = 0
    if pid > 0 and is_of(directory, pid):
        return pid
    # The master leads the session that its workers are in.
    return next(filter(_leads_session, found_in(directory)), None)


def processes(directory: Path) -> tuple[int, ...]:
    """Return the pids of the master and its workers, replaced ones included, or of workers that have no master."""
    pid = running(directory)
    return tuple(found_in(directory)) if pid is None else (pid, *_children(pid))


def workers(directory: Path) -> tuple[int, ...]:
    """Return the pids of the master's workers, replaced ones included. Empty without a master."""
    pid = running(directory)
    return () if pid is None else _children(pid)


def found_in(directory: Path) -> list[int]:
    """Return the processes of a directory among all of the machine, also those without a master."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_of(directory, pid)]  # noqa: PTH208


def is_of(directory: Path, pid: int) -> bool:
    """Return whether a process is a HAProxy of this directory, which is then its cwd. The pid may be reused."""
    try:
        # HAProxy's own check of a draft runs elsewhere, and the adapter of functions has another name.
        if not os.path.samestat(os.stat(f"/proc/{pid}/cwd"), os.stat(directory)):  # noqa: PTH116  # every two seconds
            return False
        name, _, rest = read_small_file(f"/proc/{pid}/stat").rpartition(b")")
        return name.partition(b"(")[2].startswith(b"haproxy") and rest.split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        # It has ended since it was found.
        return False


def _children(pid: int) -> tuple[int, ...]:
    try:
        return tuple(map(int, read_small_file(f"/proc/{pid}/task/{pid}/children").split()))
    except (OSError, ValueError):
        return ()
