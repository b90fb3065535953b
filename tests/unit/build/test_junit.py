"""The reports of test runners, read from files that the runners themselves wrote.

`reports/` holds them, with paths and host names replaced. Those of .NET follow the published formats.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from stages.build.report import TestReport
from stages.build.report_files import ReportFiles

REPORTS = Path(__file__).parent / "reports"


def read(name: str) -> TestReport:
    """Return what is read of a report."""
    content = (REPORTS / f"{name}.xml").read_bytes()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("report.xml")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    report = ReportFiles(lambda _: True).read(iter([file.getvalue()]))
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("name", "counts", "failed"),
    [
        (
            "bats",
            "5 tests, 4 failed, 1 skipped",
            ("setup_suite.setup_file failed", "shop.bats.bad", "shop.bats.td", "1 failure outside of the tests"),
        ),
        (
            "behave",
            "7 tests, 5 failed",
            ("a.A.fails", "a.A.undefined", "a.A.raises", "a.A.rows -- @1.2", "a.A.clean"),
        ),
        ("ctest", "10 tests, 5 failed, 2 skipped", ("fails", "missing", "slow", "fixture", "needs")),
        ("gotestsum-rerun", "2 tests, 1 failed", ("example.com/shop.TestFlaky",)),
        (
            "gotestsum",
            "9 tests, 6 failed, 1 skipped",
            (
                "example.com/shop.TestFails",
                "example.com/shop.TestTable/case#01",
                "example.com/shop.TestTable",
                "example.com/shop.TestFlaky",
                "example.com/shop/panics.TestPanics",
                "1 failure outside of the tests",
            ),
        ),
        (
            "jest-junit-suite-errors",
            "10 tests, 5 failed, 1 skipped",
            ("fails", "basket rounds", "hooks never", "teardown fails twice", "Test suite failed to run.load.test.js"),
        ),
        (
            "jest-junit",
            "9 tests, 4 failed, 1 skipped",
            ("fails", "basket rounds", "hooks never", "teardown fails twice"),
        ),
        (
            "mocha-junit-reporter",
            "8 tests, 5 failed",
            (
                "fails",
                "basket rounds",
                'hooks "before all" hook for "never"',
                "teardown fails twice",
                'teardown "after each" hook for "fails twice"',
            ),
        ),
        (
            "mocha-xunit",
            "10 tests, 5 failed, 2 skipped",
            (
                "fails",
                "basket.rounds",
                'hooks."before all" hook for "never"',
                "teardown.fails twice",
                'teardown."after each" hook for "fails twice"',
            ),
        ),
        ("node-26", "11 tests, 4 failed, 3 skipped", ("fails", "basket.rounds", "with subtests.two", "hooks.never")),
        ("node-load", "1 test, 1 failed", ("/srv/shop/node/load.test.js",)),
        ("node-todo", "2 tests, 1 skipped", ()),
        ("node", "11 tests, 4 failed, 3 skipped", ("fails", "rounds", "two", "never")),
        (
            "nunit2",
            "9 tests, 5 failed, 2 skipped",
            (
                "Shop.BasketTest.Each(2)",
                "Shop.BasketTest.Rounds",
                "Shop.BasketTest.Throws",
                "Shop.SetupTest.Never",
                "TearDownTest",
            ),
        ),
        ("nunit3-teardown", "1 test, 1 failed", ("Shop.BasketTest",)),
        ("nunit3", "5 tests, 2 failed, 1 skipped", ("Shop.BasketTest.Rounds", "Shop.BasketTest.Throws")),
        ("phpunit-risky", "1 test", ()),
        (
            "phpunit",
            "9 tests, 3 failed, 2 skipped",
            ("ShopTest.testFails", "ShopTest.testError", 'ShopTest.testEach with data set "two"'),
        ),
        ("pytest-collection", "1 test, 1 failed", ("test_broken",)),
        ("pytest-rerunfailures", "1 test", ()),
        ("pytest-skip-and-teardown", "2 tests, 1 failed, 1 skipped", ("test_skip.test_skips",)),
        (
            "playwright",
            "11 tests, 4 failed, 4 skipped",
            (
                "shop.spec.js.known that passes",
                "shop.spec.js.before \u203a y",
                "shop.spec.js.after \u203a x",
                "serial.spec.js.one",
            ),
        ),
        ("robot", "3 tests, 2 failed, 1 skipped", ("A.Passes", "A.Fails")),
        (
            "vitest",
            "14 tests, 5 failed, 4 skipped",
            (
                "test/shop.test.js.hook",
                "test/shop.test.js.before",
                "test/load.test.js",
                "vitest unhandled errors.Uncaught Exception: late",
                "vitest unhandled errors.Unhandled Rejection: unhandled",
            ),
        ),
        (
            "pytest-xunit1",
            "12 tests, 7 failed, 2 skipped",
            (
                "test_shop.test_fails",
                "test_shop.test_fails_and_teardown",
                "test_shop.test_passes_but_teardown",
                "test_shop.test_setup_error",
                "test_shop.test_strict_passes",
                "test_shop.test_each[2]",
                "test_shop.SubTests.test_parts",
            ),
        ),
        (
            "pytest",
            "12 tests, 7 failed, 2 skipped",
            (
                "test_shop.test_fails",
                "test_shop.test_fails_and_teardown",
                "test_shop.test_passes_but_teardown",
                "test_shop.test_setup_error",
                "test_shop.test_strict_passes",
                "test_shop.test_each[2]",
                "test_shop.SubTests.test_parts",
            ),
        ),
        (
            "surefire",
            "8 tests, 4 failed, 1 skipped",
            ("shop.ShopTest.each{int}[2]", "shop.ShopTest.error", "shop.ShopTest.fails", "shop.ShopTest.flaky"),
        ),
        ("trx", "5 tests, 2 failed, 1 skipped", ("Shop.BasketTest.Rounds", "Shop.BasketTest.Each (2)")),
        (
            "unittest-xml-reporting",
            "10 tests, 7 failed, 2 skipped",
            (
                "test_shop.Basket.test_fails",
                "test_shop.Basket.test_parts (n=1)",
                "test_shop.Basket.test_parts (n=2)",
                "test_shop.Basket.test_error",
                "test_shop.Basket.test_error_in_teardown",
                "test_shop.Basket.test_unexpected",
                "setUpClass (test_shop.Setup)",
            ),
        ),
        ("xunit", "4 tests, 2 failed, 2 skipped", ("Shop.BasketTest.Each(n: 2)", "Shop.BasketTest")),
    ],
)
def test_dialects(name: str, counts: str, failed: tuple[str, ...]) -> None:
    """Each runner's tests are counted once, and the names are those of the tests that failed."""
    report = read(name)
    assert (str(report), report.failed) == (counts, failed)
