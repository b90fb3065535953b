"""HAProxy's processes are found among those of the machine, which come and go meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.balancer.haproxy import found_processes
from tests.support.waiting import until


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with HAProxy's name in the directory. It does not lead its session, as a worker."""
    program = tmp_path / "haproxy"
    shutil.copy(str(shutil.which("sleep")), program)
    with subprocess.Popen([program, "60"], cwd=tmp_path) as started:
        until(lambda: Path(f"/proc/{started.pid}/comm").read_text().startswith("haproxy"), "its name")
        yield started
        started.kill()


def test_a_worker_without_its_master(tmp_path: Path, worker: subprocess.Popen[bytes]) -> None:
    assert found_processes.running(tmp_path) is None
    assert found_processes.processes(tmp_path) == (worker.pid,)


def test_a_worker_that_ends_during_the_search(
    tmp_path: Path, worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = os.getsid

    def end_first(pid: int) -> int:
        if pid == worker.pid:
            worker.kill()
            worker.wait()
        return session(pid)

    monkeypatch.setattr(os, "getsid", end_first)
    assert found_processes.running(tmp_path) is None
    assert worker.poll() is not None
