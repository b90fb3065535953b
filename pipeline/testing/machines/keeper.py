"""The process that removes the files of machines when the process that made them has ended, in whatever way.

`python -m pipeline.testing.machines.keeper FOLDER` waits for the end of its input. The namespaces end by themselves.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.testing.machines.machine import COMMAND_TIMEOUT

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_DEADLINE = 60.0


@contextmanager
def kept_folder(prefix: str, *, in_memory: bool = False) -> Iterator[Path]:
    """Yield a new folder for machines. It is removed at the end of the block, also if this process is killed before.

    `in_memory`: its files are in memory, so images load faster, and all of it goes at once.
    """
    # A socket's path may have at most 107 characters, so the folder is not in that of a test.
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    command = [sys.executable, "-m", __name__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        if in_memory:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "mode=700", "penstock", str(folder)], check=True, timeout=COMMAND_TIMEOUT
            )
        yield folder


def control_group(folder: Path) -> str:
    """Return the name of the control group for the containers of the machines in a folder."""
    return f"penstock-{folder.name}"


def remove(folder: Path) -> None:
    """Remove a folder of machines and their control groups. Waits for processes that are about to end."""
    deadline = time.monotonic() + _DEADLINE
    groups = [*_CONTROL_GROUPS.glob(control_group(folder)), *_CONTROL_GROUPS.glob(f"*/{control_group(folder)}")]
    while time.monotonic() < deadline:
        if folder.is_mount():
            subprocess.run(["umount", "--lazy", str(folder)], check=False, timeout=COMMAND_TIMEOUT)
        shutil.rmtree(folder, ignore_errors=True)
        for group in groups:
            _remove_group(group)
        if not any(each.exists() for each in (folder, *groups)):
            return
        time.sleep(0.1)


def _remove_group(group: Path) -> None:
    # The files in it cannot be removed, and disappear with their folder.
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def main(folder: Path) -> None:
    """Wait for the end of the input, and remove everything."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    remove(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
