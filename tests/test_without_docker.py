"""A run of pytest on a machine where no Docker Engine answers."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.paths import ROOT


def run_pytest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the address of an engine that does not exist."""
    environ = {name: value for name, value in os.environ.items() if name != "CI" and "XDIST" not in name}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**environ, "DOCKER_HOST": "unix:///nowhere", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_docker_tests_are_skipped() -> None:
    """Tests that need an engine are skipped, and one line at the end says how many."""
    done = run_pytest("tests/docker/test_networks.py", "tests/unit/base/test_home.py")
    assert done.returncode == 0, done.stdout
    assert " passed, 1 skipped" in done.stdout
    assert "Docker tests skipped: 1 (no Docker Engine answers)" in done.stdout.splitlines()


def test_ci_fails() -> None:
    """In CI pytest exits with 3 and runs no test."""
    done = run_pytest("tests/docker/test_networks.py", "tests/unit/base/test_home.py", CI="true")
    assert done.returncode == 3
    assert "no tests ran" in done.stdout
    assert "no Docker Engine answers" in done.stdout + done.stderr


def test_engine_is_not_needed_for_other_tests() -> None:
    """A run in which -k leaves no Docker test over does not ask for an engine, even in CI."""
    done = run_pytest("tests/docker/test_networks.py", "tests/unit/base/test_home.py", "-k", "home", CI="true")
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
