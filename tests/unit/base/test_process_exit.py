"""Waiting for the exit of a process."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from pipeline.base.process_exit import process_exit


@pytest.fixture(params=[True, False], ids=["descriptor", "no descriptor"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that has descriptors of processes, and one that has not."""
    if not request.param:
        monkeypatch.setattr(os, "pidfd_open", _unsupported)


def _unsupported(_: int) -> int:
    raise OSError("function not implemented")


@pytest.mark.usefixtures("_kernel")
def test_it_returns_whether_the_process_has_exited() -> None:
    """A process that waits has not exited, and one that may end has."""
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
        process_exit(process) as exits,
    ):
        assert not exits(0.01)
        assert process.stdin is not None
        process.stdin.close()
        assert exits(10)
        assert process.wait() == 0


@pytest.mark.usefixtures("_kernel")
def test_a_process_that_has_exited_before() -> None:
    """A process that exited before the wait has exited."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with process_exit(process) as exits:
        assert exits(10)
    assert process.wait() == 0


def test_it_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports the exit, so nothing sleeps until it is looked for again."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with subprocess.Popen(["sleep", "0.05"]) as process, process_exit(process) as exits:
        assert exits(10)
    assert slept == []
