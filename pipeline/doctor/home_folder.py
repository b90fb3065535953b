"""The home: its folder, its file system and its disk."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.base.home import VARIABLE
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding

_MOUNTS = Path("/proc/self/mountinfo")
# SQLite's log in shared memory, and locks, need one machine. Sockets are of the machine that made them.
_OF_SEVERAL_MACHINES = re.compile(r"nfs\d?|cifs|smb\d?|9p|ceph|glusterfs|lustre|afs|fuse\.(sshfs|s3fs|glusterfs)")
_IN_MEMORY = ("tmpfs", "ramfs")
_GIB = 2**30
_TOO_LITTLE, _LITTLE = 1, 5


def home_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the checks of the home's folder."""
    root = context.home.root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    yield Check("home", lambda: _folder(root, existing))
    yield Check("disk", lambda: [free_space("disk", shutil.disk_usage(existing).free, str(existing))])


def _folder(root: Path, existing: Path) -> Iterator[Finding]:
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding.failed("home", f"{existing} cannot be written", f"set {VARIABLE} to a writable directory")
        return
    mode = root.stat().st_mode & 0o777 if root.exists() else 0
    if mode & 0o022:
        yield Finding.failed("home", f"{root} can be written by other users (mode {mode:04o})", f"chmod 700 {root}")
        return
    yield file_system(root, existing, _MOUNTS.read_text().splitlines())


def file_system(root: Path, existing: Path, mounts: Iterable[str]) -> Finding:
    """Return the finding for the file system of a home. `mounts` has the lines of /proc/self/mountinfo."""
    kind = _kind_of(existing.resolve(), mounts)
    if _OF_SEVERAL_MACHINES.fullmatch(kind):
        text = f"{root} is on {kind}, where locks and sockets of several machines meet"
        return Finding.failed("home", text, f"set {VARIABLE} to a directory on a local disk")
    if kind in _IN_MEMORY:
        text = f"{root} is on {kind}, and is lost when the machine restarts"
        return Finding.warning("home", text, f"set {VARIABLE} to a directory on a disk")
    return Finding.ok("home", f"{root}{'' if root == existing else ', made by the first command'}, on {kind}")


def _kind_of(path: Path, mounts: Iterable[str]) -> str:
    """Return the type of the file system that is mounted last at the longest path above `path`."""
    longest, found = -1, "an unknown file system"
    for line in mounts:
        before, _, after = line.partition(" - ")
        # Spaces are written in octal.
        place = before.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(place) and len(place) >= longest:
            longest, found = len(place), after.split()[0]
    return found


def free_space(check: str, free: int, place: str) -> Finding:
    """Return the finding for the free bytes of a disk."""
    text = f"{free / _GIB:.1f} GiB are free at {place}"
    hint = "free disk space; `docker system df` shows what images and containers use"
    if free < _TOO_LITTLE * _GIB:
        return Finding.failed(check, text, hint)
    return Finding.warning(check, text, hint) if free < _LITTLE * _GIB else Finding.ok(check, text)
