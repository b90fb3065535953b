"""The process that keeps a tunnel goes on while this machine lacks something. Other tests run it with a real ssh."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.engine.ssh.keeper import TunnelKeeper
from pipeline.engine.ssh.tunnel_files import TunnelFiles
from tests.support.waiting import DEADLINE, until

_SSH = """#!/bin/sh
echo >> attempts
echo refused >&2
exit 255
"""


def _install(program: Path) -> None:
    """Create an ssh that fails at once. It is complete when its name is there."""
    draft = program.with_suffix(".new")
    draft.write_text(_SSH)
    draft.chmod(0o700)
    draft.rename(program)


@contextmanager
def _kept(files: TunnelFiles, program: Path) -> Iterator[Callable[[], int]]:
    """Keep a tunnel that has one user. Yields what counts the attempts. The keeper ends with the user."""
    os.mkfifo(files.users)
    reader = os.open(files.users, os.O_RDONLY | os.O_NONBLOCK)
    user = os.open(files.users, os.O_WRONLY | os.O_NONBLOCK)
    thread = threading.Thread(target=TunnelKeeper(files, [str(program)], reader).run)
    thread.start()
    attempts = files.folder / "attempts"
    try:
        yield lambda: attempts.read_text().count("\n") if attempts.exists() else 0
    finally:
        os.close(user)
        thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.fixture
def files(tmp_path: Path) -> TunnelFiles:
    """The files of a tunnel."""
    return TunnelFiles(tmp_path, "one")


def test_a_full_disk(files: TunnelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause of a lost connection cannot be kept. There is another attempt all the same."""
    failed = threading.Event()

    def write(*_: object) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.engine.ssh.keeper.write_atomically", write)
    _install(files.folder / "ssh")
    with _kept(files, files.folder / "ssh") as attempts:
        assert failed.wait(DEADLINE)
        until(lambda: attempts() >= 2, "another attempt")


def test_an_ssh_that_cannot_be_started_for_a_while(files: TunnelFiles) -> None:
    """The cause is kept for users, and there is another attempt."""
    with _kept(files, files.folder / "ssh") as attempts:
        until(lambda: "cannot start ssh: " in (files.last_error() or ""), "the cause")
        _install(files.folder / "ssh")
        until(attempts, "an attempt")
        until(lambda: files.last_error() == "refused\n", "the new cause")
