"""The lock of a pipeline: one holder at a time, released with its process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, LockHeld
from pipeline.base.interrupt import interrupt, interruptible
from pipeline.base.lock import is_held, is_stopped, short_lock, work_lock
from tests.support.waiting import SOON, until

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.base.lock import work_lock
with work_lock(Path(sys.argv[1]), "run of shop"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path, program: str = HOLDER) -> subprocess.Popen[str]:
    """Start another process. It holds the lock when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


SECTION = HOLDER.replace('work_lock(Path(sys.argv[1]), "run of shop")', "short_lock(Path(sys.argv[1]))").replace(
    "import work_lock", "import short_lock"
)


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a process as Ctrl-Z does. It no longer executes when this returns."""
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: is_stopped(process.pid), "the stop")


@pytest.fixture
def stopped_holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped within a critical section."""
    with hold_elsewhere(tmp_path / "lock", SECTION) as process:
        stop(process)
        yield process
        process.kill()


def test_a_stopped_holder_of_a_section_is_named(tmp_path: Path, stopped_holder: subprocess.Popen[str]) -> None:
    """The wait ends, and the error has the command, the process, its start and what to do."""
    started = time.monotonic()
    with pytest.raises(LockHeld) as caught, short_lock(tmp_path / "lock"):
        pass
    pid = stopped_holder.pid
    assert time.monotonic() - started < SOON
    assert re.fullmatch(
        rf"\S+ .*\(pid {pid}, seen first at 20\S+\) holds {tmp_path}/lock and is stopped by Ctrl-Z or SIGSTOP",
        caught.value.message,
    )
    assert caught.value.hint == f"continue it with `fg` or `kill -CONT {pid}`, or end it with `kill -9 {pid}`"


def test_a_section_goes_on_when_its_holder_is_continued(tmp_path: Path, stopped_holder: subprocess.Popen[str]) -> None:
    """A short stop is no error."""

    def go_on() -> None:
        os.kill(stopped_holder.pid, signal.SIGCONT)
        stopped_holder.communicate("")

    release = threading.Timer(1, go_on)
    release.start()
    with short_lock(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")
    release.join()


def test_a_process_names_itself_once(tmp_path: Path) -> None:
    """A daemon that takes a lock each second does not write to the disk each second."""
    path = tmp_path / "lock"
    with short_lock(path):
        pass
    before = path.stat()
    with short_lock(path):
        pass
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    hold_elsewhere(path, SECTION).communicate("")
    with short_lock(path):
        assert f'"pid": {os.getpid()}' in path.read_text()


def test_a_section_has_a_deadline(tmp_path: Path) -> None:
    """A holder that executes is named after the timeout."""
    with hold_elsewhere(tmp_path / "lock", SECTION) as process:
        named = pytest.raises(LockHeld, match=rf"\(pid {process.pid}, seen first at \S+\) holds ")
        with named as caught, short_lock(tmp_path / "lock", timeout=0.3):
            pass
        process.communicate("")
    assert f"kill -9 {process.pid}" in (caught.value.hint or "")


def test_an_interrupted_process_does_not_wait(tmp_path: Path) -> None:
    """A wait of minutes ends within seconds after SIGTERM, for a section and for a pipeline."""
    with hold_elsewhere(tmp_path / "lock", SECTION) as process, interruptible():
        threading.Timer(0.2, interrupt).start()
        started = time.monotonic()
        with pytest.raises(LockHeld), short_lock(tmp_path / "lock", timeout=600):
            pass
        with pytest.raises(Cancelled), work_lock(tmp_path / "lock", "run of shop", wait=600):
            pass
        assert time.monotonic() - started < SOON
        process.communicate("")


def test_a_stopped_holder_of_a_pipeline_is_named(tmp_path: Path) -> None:
    """The error says that its process is stopped, and how to continue it. A wait for it ends within seconds."""
    with hold_elsewhere(tmp_path / "lock") as process:
        stop(process)
        errors: list[LockHeld] = []
        for wait in (0, 600):
            try:
                with work_lock(tmp_path / "lock", "run of shop", wait=wait):
                    pass
            except LockHeld as error:
                errors.append(error)
        process.kill()
    assert len(errors) == 2
    for error in errors:
        assert error.message.endswith(" and is stopped by Ctrl-Z or SIGSTOP")
        assert f"kill -CONT {process.pid}" in (error.hint or "")


def test_a_full_disk_does_not_keep_anybody_from_a_lock(small_disk: Path) -> None:
    """The lock then has no name."""
    path = small_disk / "lock"
    path.touch()
    with suppress(OSError), (small_disk / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    unnamed = pytest.raises(LockHeld, match="another process holds")
    with work_lock(path, "run of shop"), unnamed, short_lock(path, timeout=0):
        pass


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
