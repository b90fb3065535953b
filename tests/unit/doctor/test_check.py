"""Checks at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipeline.base.errors import EngineFault
from pipeline.doctor.check import Check, run_checks
from pipeline.doctor.finding import Finding
from tests.support.waiting import DEADLINE


def test_checks_run_at_the_same_time_and_keep_their_order() -> None:
    """Two that wait for each other both end."""
    barrier = threading.Barrier(2, timeout=DEADLINE)

    def find(name: str) -> Iterator[Finding]:
        barrier.wait()
        yield Finding.ok(name, "well")

    checks = [Check("one", lambda: find("one")), Check("two", lambda: find("two"))]
    assert run_checks(checks, DEADLINE) == [Finding.ok("one", "well"), Finding.ok("two", "well")]


def test_a_check_that_raises_has_failed() -> None:
    """What it found before stays. The hint of the error is what to do."""

    def fault() -> Iterator[Finding]:
        yield Finding.ok("Docker", "it answers")
        raise EngineFault("it is too old", hint="upgrade it")

    def lost() -> Iterator[Finding]:
        raise OSError(5, "Input/output error", "/x")

    assert run_checks([Check("Docker", fault), Check("disk", lost)], DEADLINE) == [
        Finding.ok("Docker", "it answers"),
        Finding.failed("Docker", "it is too old", "upgrade it"),
        Finding.failed("disk", "[Errno 5] Input/output error: '/x'"),
    ]


def test_a_check_that_hangs_has_failed() -> None:
    """The others do not wait for it, and what it found before stays."""
    release = threading.Event()

    def hang() -> Iterator[Finding]:
        yield Finding.ok("host", "it answers")
        release.wait()

    try:
        found = run_checks([Check("host", hang), Check("git", lambda: [Finding.ok("git", "2.39")])], 0.2)
    finally:
        release.set()
    assert found == [
        Finding.ok("host", "it answers"),
        Finding.failed("host", "no answer within 0.2 s"),
        Finding.ok("git", "2.39"),
    ]
