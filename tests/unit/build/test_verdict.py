"""The verdict about tests, from their exit code and their report."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.base.errors import StageFailed
from pipeline.config import steps
from pipeline.engine.task import TaskResult
from stages.build.failures import TestsFailed
from stages.build.report import TestReport
from stages.build.verdict import check_tests

GOOD = TestReport(2, 0, ())
BAD = TestReport(2, 0, ("a.test_b",))
CHILD = "a process of the tests was killed, because they used more than 1024 MiB (build.test.memory)"


def check(code: int, report: TestReport | None, *, oom: bool = False, **settings: Any) -> list[str]:
    """Return the warnings about tests that ended with `code`."""
    tests = steps.Tests(command=("true",), reports="/tmp/junit.xml", **settings)
    return check_tests(tests, TaskResult(code, oom, in_time=True), report, ("last line",))


@pytest.mark.parametrize(
    ("trust", "code", "report", "warning"),
    [
        ("both", 0, GOOD, None),
        ("both", 0, None, None),
        ("exit_code", 0, BAD, "the tests exited with 0, but their report names 1 failed test: a.test_b"),
        ("report", 3, GOOD, "the tests exited with 3, but their report names no failed test"),
    ],
)
def test_tests_pass(trust: str, code: int, report: TestReport | None, warning: str | None) -> None:
    """The trusted one decides, and a contradiction is a warning."""
    assert check(code, report, trust=trust) == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("trust", "code", "report", "message"),
    [
        ("both", 0, BAD, "the tests exited with 0, but their report names 1 failed test: a.test_b"),
        ("both", 3, GOOD, "the tests failed with exit code 3"),
        ("exit_code", 3, BAD, "the tests failed with exit code 3: a.test_b"),
        ("report", 0, BAD, "the report of the tests names 1 failed test: a.test_b"),
        ("report", 0, None, "the tests wrote no report with a test, and build.test.trust is report"),
        ("report", 0, TestReport(0, 0, ()), "the tests wrote no report with a test, and build.test.trust is report"),
        (
            "report",
            0,
            TestReport(1, 0, (), unread=("a.xml is empty",)),
            "not all reports were read, and build.test.trust is report: a.xml is empty",
        ),
    ],
)
def test_tests_fail(trust: str, code: int, report: TestReport | None, message: str) -> None:
    """By default both must pass. The message says which one failed."""
    with pytest.raises(TestsFailed) as caught:
        check(code, report, trust=trust)
    assert (caught.value.message, caught.value.tail) == (message, ("last line",))


def test_a_report_is_needed_to_trust_it() -> None:
    """`trust: report` without `reports` is a mistake."""
    with pytest.raises(ValueError, match="must not be report without reports"):
        steps.Tests(command=("true",), trust="report")


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_started(code: int) -> None:
    """What Docker's init says of a missing program is an error of the stage, which no retry repeats."""
    tests = steps.Tests(command=("pytest",))
    tail = ("[FATAL tini (7)] exec pytest failed: No such file or directory",)
    with pytest.raises(StageFailed, match="the tests cannot be started: pytest: No such file or directory") as caught:
        check_tests(tests, TaskResult(code, oom_killed=False, in_time=True), None, tail)
    assert not isinstance(caught.value, TestsFailed)


def test_out_of_memory() -> None:
    """Only a process that SIGKILL ended was killed for its memory. Otherwise its exit code is told, and both facts."""
    with pytest.raises(TestsFailed, match=r"the tests used more than 1024 MiB \(build.test.memory\): killed"):
        check(137, None, oom=True)
    with pytest.raises(TestsFailed) as caught:
        check(3, BAD, oom=True)
    assert caught.value.message == f"the tests failed with exit code 3; {CHILD}: a.test_b"
    with pytest.raises(TestsFailed) as caught:
        check(137, None)
    limit = "1024 MiB (build.test.memory)"
    assert caught.value.message == (
        f"the tests failed with exit code 137; SIGKILL ended them, as it does if they use more than {limit}"
    )
    assert check(0, GOOD, oom=True) == [f"{CHILD}; they exited with 0"]
