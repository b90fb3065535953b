"""Every test that git tracks is run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.support.collected import COUNTS
from tests.support.paths import ROOT

# Raise this when tests are added. A smaller count means that tests were lost by accident.
MIN_TESTS = 14000
# Collecting is not worth measuring.
_MEASURED = "COVERAGE_"


def test_every_tracked_file_is_collected(pytestconfig: pytest.Config) -> None:
    """Each tracked `test_*.py` gives at least one test, and their count does not fall."""
    listed = subprocess.run(
        ["git", "ls-files", "--", "tests/test_*.py", "tests/**/test_*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    tracked = set(listed.stdout.split())
    counts = pytestconfig.stash[COUNTS]
    # This run has collected some of them.
    if others := tracked - set(counts):
        counts = counts + collected(others)
    assert sorted(tracked - set(counts)) == []
    assert counts.total() >= MIN_TESTS


def collected(files: Iterable[str]) -> Counter[str]:
    """Return the number of tests in each of these files."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", *sorted(files)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith(_MEASURED)},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-2000:]
    lines = [line.rsplit(": ", 1) for line in found.stdout.splitlines() if line.startswith("tests/")]
    return Counter({name: int(number) for name, number in lines})
