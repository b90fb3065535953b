"""A remote that never ends costs neither memory nor time without limit."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError, StageFailed
from pipeline.base.git import GitFailed, GitLimits, run_git
from stages.source.git import Git, RemoteLimits
from tests.support.repository import Work
from tests.support.waiting import SOON

ENDLESS = """
import sys
sha = b"1" * 40
def packet(text):
    return b"%04x%s" % (len(text) + 4, text)
out = sys.stdout.buffer
out.write(packet(sha + b" HEAD\\0agent=x\\n"))
for number in range(10**12):
    out.write(packet(sha + b" refs/heads/a-branch-of-an-endless-list-%d\\n" % number))
"""
DRIPPING = """
import sys, time
out = sys.stdout.buffer
out.write(b"00")
out.flush()
while True:
    time.sleep(0.05)
    print(".", file=sys.stderr, flush=True)
"""
CHATTY = """
import sys
while True:
    sys.stderr.write("x" * 65536)
"""


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def answer(work: Work, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have git run a script in place of ssh."""
    (work.root / "server.py").write_text(script)
    program = work.root / "ssh"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {work.root}/server.py\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))


@pytest.mark.parametrize("look", ["scan", "run"])
def test_a_list_of_refs_without_end(look: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused within seconds, before git has much of it in memory."""
    answer(work, monkeypatch, ENDLESS)
    repository = work.open("git@forge.example:team/app.git")
    with pytest.raises(StageFailed) as caught:
        repository.resolve("main") if look == "run" else repository.heads(["refs/heads/*"])
    assert caught.value.message.endswith("it has more refs than fit into memory")


@pytest.mark.parametrize("script", [DRIPPING, CHATTY])
def test_a_remote_that_never_says_all(script: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left at the deadline, or when it has printed too much."""
    answer(work, monkeypatch, script)
    limits = RemoteLimits(list_timeout=timedelta(seconds=2), list_size=GitLimits(output=2**20))
    git = Git(work.path, limits=limits)
    started = time.monotonic()
    with pytest.raises(GitFailed, match=r"did not finish within 2 s|printed more than 1MiB"):
        git.list_refs("git@forge.example:team/app.git")
    assert time.monotonic() - started < SOON


def test_what_git_prints_is_limited(work: Work) -> None:
    """Also of a local command."""
    work.commit("x" * 5000)
    with pytest.raises(GitFailed, match="git printed more than 4KiB"):
        run_git("show", "HEAD:file.txt", directory=work.path, limits=GitLimits(output=4096))


@pytest.mark.parametrize("named", ["fd::0", "ext::sh -c true", "fd::17/x"])
def test_a_helper_that_reads_a_descriptor_is_refused(named: str, work: Work) -> None:
    """Git would wait for a descriptor that nothing is connected to, or run a command."""
    with pytest.raises(ConfigError, match="is not the address of a repository"):
        work.open(named)
