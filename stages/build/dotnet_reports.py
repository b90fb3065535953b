"""The reports of .NET: TRX, NUnit 3, NUnit 2 and xUnit.net."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from stages.build.report import Case, Outcome

_TRX: dict[str, Outcome] = {
    **dict.fromkeys(("Passed", "Completed", "Warning", "PassedButRunAborted"), "passed"),
    **dict.fromkeys(("NotExecuted", "Inconclusive", "Pending", "InProgress"), "skipped"),
}
_NUNIT: dict[str, Outcome] = {
    **dict.fromkeys(("Passed", "Success", "Warning"), "passed"),
    **dict.fromkeys(("Skipped", "Ignored", "Inconclusive"), "skipped"),
}
_XUNIT: dict[str, Outcome] = {"Pass": "passed", "Skip": "skipped", "NotRun": "skipped"}
_FAILED_RUN = ("Failed", "Error", "Aborted", "Timeout")


def trx_cases(root: Element) -> list[Case]:
    """Return the tests of a `TestRun`. Each row of a data-driven test counts as a test."""
    classes = {test.get("id"): method.get("className", "") for test in root.iter("UnitTest") for method in test}
    cases = []
    for result in root.iter("UnitTestResult"):
        if result.find("UnitTestResult") is None:
            name, group = result.get("testName", "?"), classes.get(result.get("testId"), "")
            name = name if not group or name.startswith(group) else f"{group}.{name}"
            cases.append(Case(name, _TRX.get(result.get("outcome", ""), "failed")))
    summary = root.find("ResultSummary")
    if summary is not None and summary.get("outcome") in _FAILED_RUN and all(c.outcome != "failed" for c in cases):
        cases.append(Case("a failure outside of the tests", "failed", is_test=False))
    return cases


def nunit_cases(root: Element) -> list[Case]:
    """Return the tests of a `test-run` of NUnit 3, or of `test-results` of NUnit 2."""
    cases = []
    for case in root.iter("test-case"):
        if (result := case.get("result")) is not None:
            outcome = _NUNIT.get(result, "failed")
        else:
            # NUnit before 2.5 writes no result.
            outcome = "skipped" if case.get("executed") == "False" else _NUNIT_2_4.get(case.get("success"), "failed")
        cases.append(Case(_nunit_name(case), outcome))
    return cases + [Case(_nunit_name(suite), "failed", is_test=False) for suite in root.iter() if _failed_alone(suite)]


def _failed_alone(suite: Element) -> bool:
    """Return whether a suite failed although nothing in it did, such as by the teardown of a class."""
    inside = [element for element in suite.iter() if element is not suite]
    return suite.tag == "test-suite" and _has_failed(suite) and not any(_has_failed(element) for element in inside)


def _has_failed(element: Element) -> bool:
    return element.get("result") in ("Failed", "Failure", "Error")


def _nunit_name(element: Element) -> str:
    return element.get("fullname") or element.get("name") or "?"


_NUNIT_2_4: dict[str | None, Outcome] = {"True": "passed"}


def xunit_cases(root: Element) -> list[Case]:
    """Return the tests of `assemblies` of xUnit.net 2 and 3, and the errors outside of them."""
    tests = [Case(t.get("name", "?"), _XUNIT.get(t.get("result", ""), "failed")) for t in root.iter("test")]
    errors = [error for group in root.iter("errors") for error in group.findall("error")]
    return tests + [Case(error.get("name") or error.get("type") or "?", "failed", is_test=False) for error in errors]
