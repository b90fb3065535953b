"""The verdict about tests, from their exit code and their report."""

from __future__ import annotations

import re

from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.steps import Tests
from pipeline.engine.container import SIGKILL_CODE
from pipeline.engine.task import TaskResult
from stages.build.failures import TestsFailed
from stages.build.report import TestReport

_NAMES = 20
# Docker's init prints this if it cannot start the command. Without an init, Docker refuses to start the container.
_NOT_STARTED = re.compile(r"\[FATAL tini \(\d+\)\] exec (.+) failed: (.+)")
_HINT = "if the test runner reports known failures, set build.test.trust: exit_code"


def check_tests(tests: Tests, end: TaskResult, report: TestReport | None, tail: tuple[str, ...]) -> list[str]:
    """Return warnings if the tests passed. Raises `TestsFailed` if they did not.

    Raises `StageFailed` if the command cannot be started, because a retry would not help.
    """
    not_started = _NOT_STARTED.fullmatch(tail[-1]) if tail and end.exit_code in (126, 127) else None
    if not_started:
        message = f"the tests cannot be started: {not_started[1]}: {not_started[2]}"
        raise StageFailed(message, hint="the image needs the program of build.test.command, or build.test.entrypoint")
    if not end.in_time:
        limit = format_duration(tests.timeout)
        raise TestsFailed(f"the tests were still running after {limit}: stopped", tail=tail)
    limit = f"more than {tests.memory >> 20} MiB (build.test.memory)"
    if end.ran_out_of_memory:
        raise TestsFailed(f"the tests used {limit}: killed", tail=tail)
    child = f"a process of the tests was killed, because they used {limit}"
    if tests.trust == "report":
        _check_report(report, tail)
    elif end.exit_code != 0:
        names = _listing(report.failed) if report else ""
        # Docker may report the exit before the lack of memory that caused it.
        killed = f"; SIGKILL ended them, as it does if they use {limit}" if end.exit_code == SIGKILL_CODE else ""
        reason = f"; {child}" if end.oom_killed else killed
        raise TestsFailed(f"the tests failed with exit code {end.exit_code}{reason}{names}", tail=tail)
    elif report and report.failed and tests.trust == "both":
        message = f"the tests exited with 0, but their report names {_failed(report)}"
        raise TestsFailed(message, tail=tail, hint=_HINT)
    warnings = [f"{child}; they exited with {end.exit_code}"] if end.oom_killed else []
    if report and report.failed:
        warnings.append(f"the tests exited with 0, but their report names {_failed(report)}")
    if end.exit_code != 0:
        warnings.append(f"the tests exited with {end.exit_code}, but their report names no failed test")
    return warnings


def _check_report(report: TestReport | None, tail: tuple[str, ...]) -> None:
    if report is None or (not report.tests and not report.failed and not report.unread):
        raise TestsFailed("the tests wrote no report with a test, and build.test.trust is report", tail=tail)
    if report.failed:
        raise TestsFailed(f"the report of the tests names {_failed(report)}", tail=tail)
    if report.unread:
        raise TestsFailed(f"not all reports were read, and build.test.trust is report: {report.unread[0]}", tail=tail)


def _failed(report: TestReport) -> str:
    count = len(report.failed)
    return f"{count} failed test{'' if count == 1 else 's'}{_listing(report.failed)}"


def _listing(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f": {', '.join(names[:_NAMES])}{more}" if names else ""
