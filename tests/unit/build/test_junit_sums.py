"""Failures that only a suite's sums name, and tests that only have a status."""

from __future__ import annotations

import pytest

from stages.build.junit import junit_cases
from stages.build.report import TestReport
from stages.build.report_xml import parse_report

PASSED = '<testcase name="a"/>'
FAILED = '<testcase name="b"><failure/></testcase>'
BOTH = '<testcase name="c"><failure/><error/></testcase>'
TODO = '<testcase name="d"><skipped type="todo"/><failure/></testcase>'
RISKY = '<testcase name="e"><error type="PHPUnit\\Framework\\RiskyTestError"/></testcase>'
ONE = "1 failure outside of the tests"


def read(xml: str) -> TestReport:
    return TestReport.from_cases(junit_cases(parse_report(xml.encode())), [])


@pytest.mark.parametrize(
    ("xml", "failed"),
    [
        (f'<testsuite errors="1">{PASSED}</testsuite>', [ONE]),
        (f'<testsuite failures="1">{PASSED}</testsuite>', [ONE]),
        (f'<testsuites><testsuite errors="1">{PASSED}</testsuite></testsuites>', [ONE]),
        (f'<testsuites errors="1"><testsuite errors="1">{PASSED}</testsuite></testsuites>', [ONE]),
        ('<testsuites errors="2"><testsuite errors="1"/></testsuites>', ["2 failures outside of the tests"]),
        (f'<testsuites><testsuite errors="1"/><testsuite failures="1">{FAILED}</testsuite></testsuites>', ["b", ONE]),
        (f'<testsuite failures="2"><testsuite failures="1">{FAILED}</testsuite></testsuite>', ["b", ONE]),
        (f'<testsuite failures="2">{FAILED}</testsuite>', ["b", ONE]),
        (f'<testsuite failures="1">{FAILED}</testsuite>', ["b"]),
        (f'<testsuite failures="0">{FAILED}</testsuite>', ["b"]),
        (f'<testsuite failures="1" errors="1">{BOTH}</testsuite>', ["c"]),
        (f'<testsuite failures="1">{TODO}</testsuite>', []),
        (f'<testsuite errors="1">{RISKY}</testsuite>', []),
        (f'<testsuite failures="1"><testsuite failures="2">{BOTH}</testsuite></testsuite>', ["c"]),
        (f'<testsuite errors="" failures="-1">{PASSED}</testsuite>', []),
        (f'<testsuite errors="{"9" * 5000}">{PASSED}</testsuite>', []),
        ('<testsuite><testcase name="a" status="failed"/></testsuite>', ["a"]),
        ('<testsuite failures="1"><testcase name="a" status="FAILED"/></testsuite>', ["a"]),
        ('<testsuite><testcase name="a" status="error"/></testsuite>', ["a"]),
        ('<testsuite><testcase name="a" status="failed"><skipped/></testcase></testsuite>', []),
        ('<testsuite><testcase name="a" status="run"/><testcase name="b" status="passed"/></testsuite>', []),
    ],
)
def test_failures(xml: str, failed: list[str]) -> None:
    """A sum counts what no test has, once. Without it, `trust: report` would deploy the image."""
    assert list(read(xml).failed) == failed
