"""Hints at the keys that allow what a program was denied."""

from __future__ import annotations

import pytest

from pipeline.base.errors import StageFailed
from pipeline.engine.container import Privileges
from pipeline.engine.denial import denial_hint, hint_at_denials

LIMITED = Privileges(("CHOWN",), ("ALL",), no_new_privileges=True)
CAPABILITY = "if it needs a capability that its container does not have, name it in deploy.cap_add"
GAINING = "a program that gains privileges, such as sudo, needs deploy.no_new_privileges: false"
PROCESSES = "if it needs more than 64 processes and threads, raise deploy.pids_limit"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("PermissionError: [Errno 1] Operation not permitted", CAPABILITY),
        ("chown: /data: Operation not permitted", CAPABILITY),
        ("ping: socktype: SOCK_RAW: operation not permitted", CAPABILITY),
        ("nginx: [emerg] setgid(101) failed (1: Operation not permitted)", CAPABILITY),
        ('exec: "/usr/bin/ping": operation not permitted', CAPABILITY),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', GAINING),
        ("sh: 1: Cannot fork", PROCESSES),
        ("bash: fork: retry: Resource temporarily unavailable", PROCESSES),
        ("bash: fork: Resource temporarily unavailable", PROCESSES),
        ("sh: can't fork: Resource temporarily unavailable", PROCESSES),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", PROCESSES),
        ("RuntimeError: can't start new thread", PROCESSES),
        ("java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory", PROCESSES),
        ("runtime: failed to create new OS thread (have 60 already; errno=11)", PROCESSES),
        ("PermissionError: [Errno 13] Permission denied", None),
        ("recv: Resource temporarily unavailable", None),
        ("listening on port 8080", None),
    ],
)
def test_a_program_that_was_denied_something(line: str, hint: str | None) -> None:
    """The hint names the key, and other errors have none."""
    assert denial_hint(["starting", line, "exiting"], "deploy", LIMITED, 64) == hint


def test_a_container_without_limits_has_no_hint() -> None:
    """A key that is set already does not help."""
    lines = ["Operation not permitted", "no new privileges", "Cannot fork"]
    assert denial_hint(lines, "deploy", Privileges(("ALL",)), None) is None


def test_a_failure_gets_the_hint_of_its_output() -> None:
    """The message and the last lines count, and a hint that is there stays."""
    with pytest.raises(StageFailed) as caught, hint_at_denials("build.test", LIMITED, 64, "pids"):
        raise StageFailed("the tests failed", tail=("Cannot fork",))
    assert caught.value.hint == "if it needs more than 64 processes and threads, raise build.test.pids"
    with pytest.raises(StageFailed) as caught, hint_at_denials("deploy", LIMITED, 64):
        raise StageFailed("web cannot be started: exec /ping: operation not permitted")
    assert caught.value.hint == CAPABILITY
    with pytest.raises(StageFailed) as caught, hint_at_denials("deploy", LIMITED, 64):
        raise StageFailed("no", hint="read the manual", tail=("Operation not permitted",))
    assert caught.value.hint == "read the manual"
