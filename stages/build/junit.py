"""JUnit XML, in the dialects of its writers."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from stages.build.report import Case, Outcome

_SUITES = ("testsuites", "testsuite")
_FAILURES = ("failure", "error")
_NOT_RUN = ("notrun", "disabled", "suppressed")
_FAILED = ("failed", "fail", "failure", "error", "errored")
_SUMS = ("failures", "errors")
# A longer sum is none.
_DIGITS = 10
Merge = Callable[[Element, Element], Element | None]


def junit_cases(root: Element) -> list[Case]:
    """Return the tests of a report. Suites may be nested, and a test may be listed more than once."""
    found: dict[tuple[object, ...], Element] = {}
    for number, suite in enumerate(root.iter()):
        if suite.tag not in _SUITES:
            continue
        merge = _merge_rule(root, suite)
        for position, element in enumerate(suite.findall("testcase")):
            key: tuple[object, ...] = (number, element.get("classname"), element.get("name"))
            merged = merge(found[key], element) if key in found else element
            if merged is None:
                found[(*key, position)] = element
            else:
                found[key] = merged
    cases = [Case(_name(element), _outcome(element)) for element in found.values()]
    return [*cases, *_outside_of_tests(root)]


def _outcome(element: Element) -> Outcome:
    skipped = element.find("skipped")
    failed = [child for child in element if child.tag in _FAILURES and not _is_risky(child)]
    # Node's test runner writes a failure for a failing todo test and counts the test as passed.
    if failed and (skipped is None or skipped.get("type") != "todo"):
        return "failed"
    if not failed and skipped is None and element.get("status", "").lower() in _FAILED:
        return "failed"
    if skipped is not None and _is_prevented(element, skipped):
        return "failed"
    not_run = element.get("status") in _NOT_RUN or element.get("result") in (*_NOT_RUN, "skipped")
    return "skipped" if skipped is not None or not_run else "passed"


def _is_prevented(element: Element, skipped: Element) -> bool:
    """Return whether CTest could not start a test.

    It counts such a test as failed and exits with 8, but reports it as skipped. A test that skips itself is reported
    alike, with the property that said so.
    """
    return element.get("status") == "notrun" and not skipped.get("message", "SKIP_").startswith("SKIP_")


def _is_risky(child: Element) -> bool:
    """Return whether PHPUnit found a test risky. It writes such a test as an error and exits with 0."""
    return child.get("type", "").endswith("RiskyTestError")


def _name(element: Element) -> str:
    group, name = element.get("classname", "").strip(), element.get("name", "?").strip()
    # Node's test runner has no class names. Those of jest and mocha repeat the name or a part of it. Bats 1.8 does not
    # name the hook that failed.
    if not name:
        return group
    return name if not group or group == "test" or name.endswith(group) else f"{group}.{name}"


def _merge_rule(root: Element, suite: Element) -> Merge:
    is_pytest = root.get("name") == "pytest tests" or suite.get("name") == "pytest"
    is_go = any(entry.get("name") == "go.version" for entry in suite.findall("property"))
    return _merge_tries if is_pytest or is_go else _merge_teardown


def _merge_tries(earlier: Element, later: Element) -> Element | None:
    """Merge a test with its failed teardown and with its other attempts. Names are unique in pytest and Go.

    The tries of `gotestsum --rerun-fails` look like those of `go test -count 2`, so one that failed counts.
    """
    return earlier if _outcome(earlier) == "failed" else later


def _merge_teardown(earlier: Element, later: Element) -> Element | None:
    """Merge the failure of a test with an error of its teardown. Otherwise two tests have the same name."""
    if _outcome(earlier) != "failed" or _outcome(later) != "failed":
        return None
    kinds = [[child.tag for child in element if child.tag in _FAILURES] for element in (earlier, later)]
    return earlier if "error" in kinds[1] or "error" in kinds[0] else None


def _outside_of_tests(root: Element) -> list[Case]:
    """Return the failures that only the sums of suites name, such as a Go package that does not compile."""
    missing = _failures(root)[1]
    what = "1 failure" if missing == 1 else f"{missing} failures"
    return [Case(f"{what} outside of the tests", "failed", is_test=False)] if missing > 0 else []


def _failures(suite: Element) -> tuple[int, int]:
    """Return the number of failures in a suite and those within it, and how many of them no test has.

    A sum counts each failure of a test, also those that are only warnings. One may count a suite within as one failure.
    """
    listed = missing = 0
    for element in suite:
        if element.tag == "testcase":
            marks = sum(child.tag in _FAILURES for child in element)
            listed += marks or _outcome(element) == "failed"
        elif element.tag in _SUITES:
            inner, inner_missing = _failures(element)
            listed, missing = listed + inner, missing + inner_missing
    declared = sum(int(value) for key in _SUMS if (value := suite.get(key, "")).isdecimal() and len(value) < _DIGITS)
    return max(listed, declared), missing + max(0, declared - listed)
