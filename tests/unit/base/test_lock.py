"""The lock of a pipeline: one holder at a time, released with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.base.errors import LockHeld
from pipeline.base.lock import is_held, work_lock

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.base.lock import work_lock
with work_lock(Path(sys.argv[1]), "run of shop"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    """Start another process. It holds the lock when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_error_names_the_holder(tmp_path: Path) -> None:
    """The error names the holder's process and start time, and hints at `--wait`."""
    path = tmp_path / "shop.lock"
    with hold_elsewhere(path) as holder:
        with pytest.raises(LockHeld) as caught, work_lock(path, "run of shop"):
            pass
        assert is_held(path)
        holder.communicate("")
    assert caught.value.message.startswith(f"run of shop (pid {holder.pid}) has been running since 20")
    assert caught.value.hint == "wait for it with --wait 10m"


def test_a_waiting_process_gets_the_lock(tmp_path: Path) -> None:
    """A waiting process gets the lock when the holder releases it in time."""
    path = tmp_path / "shop.lock"
    with hold_elsewhere(path) as holder:
        assert holder.stdin is not None
        release = threading.Timer(0.2, holder.stdin.close)
        release.start()
        with work_lock(path, "run of shop", wait=20):
            assert is_held(path)
        release.join()
    assert not is_held(path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    """The lock of a killed process is free, and no stale lock is left."""
    path = tmp_path / "shop.lock"
    with hold_elsewhere(path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with work_lock(path, "run of shop"):
        pass


def test_a_missing_lock_file_is_not_held(tmp_path: Path) -> None:
    """A lock file that does not exist is not held, and a check does not create it."""
    assert not is_held(tmp_path / "shop.lock")
    assert list(tmp_path.iterdir()) == []
