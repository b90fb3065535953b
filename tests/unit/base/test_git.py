"""Git runs in a clean environment and is killed at its deadline or when cancelled."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, SystemFault
from pipeline.base.git import GitFailed, run_git, stream_git
from tests.support.waiting import DEADLINE

SECOND = timedelta(seconds=1)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    run_git("init", "--quiet", "--initial-branch=main", directory=made)
    (made / "file.txt").write_text("x" * 200_000)
    run_git("add", "--all", directory=made)
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    run_git(*identity, "commit", "--quiet", "-m", "First", directory=made)
    return made


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a git on PATH that starts a child and never exits. Return the file with the child's process id."""
    programs, child = tmp_path / "programs", tmp_path / "child"
    programs.mkdir()
    program = programs / "git"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {child}.new && mv {child}.new {child}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return child


def assert_gone(child: Path) -> None:
    """Assert that the child was killed too. An orphan may stay a zombie if nothing reaps it."""
    stat = Path(f"/proc/{child.read_text().strip()}/stat")
    deadline = time.monotonic() + DEADLINE
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.01)


def test_it_gives_what_git_prints(repository: Path) -> None:
    """The output of git is returned as bytes."""
    assert run_git("ls-files", directory=repository) == b"file.txt\n"


def test_a_hooks_environment_does_not_mislead_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git ignores the variables of a hook, and the environment of this process is unchanged."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    before = dict(os.environ)
    assert run_git("ls-files", directory=repository) == b"file.txt\n"
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", ["ICASE", "GLOB", "NOGLOB", "LITERAL"])
def test_a_users_pathspecs_do_not_change_it(name: str, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git refuses to list a path of a tree with some of them."""
    monkeypatch.setenv(f"GIT_{name}_PATHSPECS", "1")
    assert run_git("ls-tree", "--name-only", "HEAD", "--", "file.txt", directory=repository) == b"file.txt\n"


def test_a_users_own_ssh_command_is_kept(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's GIT_SSH_COMMAND is kept. Without one, ssh never prompts."""
    shown = ("-c", "alias.shown=!printenv GIT_SSH_COMMAND", "shown")
    assert b"BatchMode=yes" in run_git(*shown, directory=repository)
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    assert run_git(*shown, directory=repository) == b"ssh -i key -o BatchMode=yes -o ConnectTimeout=20\n"


def test_a_failure_has_gits_own_words(repository: Path) -> None:
    """An error has git's message without passwords."""
    with pytest.raises(GitFailed, match="pathspec 'nowhere' did not match"):
        run_git("checkout", "nowhere", directory=repository)
    with pytest.raises(GitFailed) as failed:
        run_git("ls-remote", "http://ann:secret@127.0.0.1:1/shop.git", directory=repository)
    assert "127.0.0.1" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A missing directory raises `GitFailed`."""
    with pytest.raises(GitFailed, match="No such file or directory"):
        run_git("status", directory=tmp_path / "nowhere")


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a missing git has the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemFault, match="git is not on PATH"):
        run_git("status", directory=tmp_path)


def test_a_deadline_ends_it(slow: Path, tmp_path: Path) -> None:
    """At the deadline, git and its child are killed."""
    with pytest.raises(GitFailed, match=r"did not finish within 2 s"):
        run_git("fetch", directory=tmp_path, timeout=2 * SECOND)
    assert_gone(slow)


def test_cancelling_ends_it(slow: Path, tmp_path: Path) -> None:
    """Cancelling kills git and its child soon."""
    cancelled = threading.Event()

    def cancel_when_started() -> None:
        while not slow.exists():
            time.sleep(0.01)
        cancelled.set()

    threading.Thread(target=cancel_when_started, daemon=True).start()
    with pytest.raises(Cancelled):
        run_git("fetch", directory=tmp_path, cancelled=cancelled)
    assert_gone(slow)


def test_a_stream_comes_whole(repository: Path) -> None:
    """A stream yields all output, and unread output is not an error."""
    with stream_git("archive", "--format=tar", "HEAD", directory=repository) as stream:
        assert len(stream.read(1000)) == 1000


def test_a_failed_stream_raises_at_its_end(repository: Path) -> None:
    """A failed stream raises git's message at its end."""
    with (
        pytest.raises(GitFailed, match="nowhere"),
        stream_git("archive", "--format=tar", "nowhere", directory=repository) as stream,
    ):
        assert stream.read() == b""


def test_a_reader_that_fails_ends_the_stream(slow: Path, tmp_path: Path) -> None:
    """An exception in the reader kills git."""

    def read() -> None:
        with stream_git("archive", directory=tmp_path):
            while not slow.exists():
                time.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert_gone(slow)
