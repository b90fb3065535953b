"""The user of HAProxy's workers if HAProxy is started by root.

The master stays root, because it starts the workers that bind ports. It parses nothing that a client sends.
"""

from __future__ import annotations

import os
from pathlib import Path

# Without an account. Debian gives out 60000 to 64999 itself, so no account of a user has it.
UID = 64643


def worker_uid() -> int | None:
    """Return the user id of the workers, or None if they run as the current user."""
    return UID if os.geteuid() == 0 and _is_mapped(UID) else None


def global_lines() -> list[str]:
    """Return the lines of `global` that give up root."""
    uid = worker_uid()
    return [] if uid is None else [f"uid {uid}", f"gid {uid}"]


def socket_args() -> str:
    """Return the arguments of a `bind` for a socket that workers connect to."""
    uid = worker_uid()
    return "mode 600" if uid is None else f"mode 600 uid {uid}"


def admit_workers(path: Path) -> None:
    """Let the workers reach the sockets in HAProxy's directory, or one socket. Root's other files stay closed."""
    uid = worker_uid()
    if uid is None:
        return
    if path.is_dir():
        path.chmod(0o711)
    else:
        os.chown(path, uid, -1)


def _is_mapped(uid: int) -> bool:
    """Return whether the user id exists in this user namespace. A rootless container has few."""
    try:
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return True
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in ranges)
