"""Every test that git tracks is run."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT

# Raise this when tests are added. A smaller count means that tests were lost by accident.
MIN_TESTS = 8400


def test_every_tracked_file_is_collected() -> None:
    """Each tracked `test_*.py` gives at least one test, and their count does not fall."""
    listed = subprocess.run(
        ["git", "ls-files", "--", "tests/test_*.py", "tests/**/test_*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert collected.returncode == 0, collected.stdout[-2000:]
    counts = dict(line.rsplit(": ", 1) for line in collected.stdout.splitlines() if line.startswith("tests/"))
    assert sorted(set(listed.stdout.split()) - set(counts)) == []
    assert sum(map(int, counts.values())) >= MIN_TESTS
