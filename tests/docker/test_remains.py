"""The report of a failed test about its project, and the option `--keep`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.docker_cli import docker
from tests.support.paths import ROOT
from tests.support.waiting import LONGEST_TIMEOUT

pytestmark = pytest.mark.docker

FAILING = """\
import urllib.request

import pytest

pytestmark = pytest.mark.docker


def test_it(service):
    urllib.request.urlopen(f"http://127.0.0.1:{service.port}/?asked").close()
    raise AssertionError("on purpose")
"""


def run_failing(folder: Path, *options: str) -> str:
    """Run a test that fails while version 1 is active. Return what pytest prints."""
    (folder / "test_failing.py").write_text(FAILING)
    plugins = ("-p", "tests.conftest", "-p", "tests.docker.conftest", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", *plugins, *options, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_TIMEOUT)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    return done.stdout


def containers(home: str) -> list[str]:
    return docker("ps", "--quiet", "--filter", f"label=penstock.home={home}").split()


def test_a_failed_test_shows_its_project(tmp_path: Path) -> None:
    """The report has the home, what the containers printed and the access log. Nothing is left running."""
    printed = run_failing(tmp_path)
    assert re.search(r"^home: /\S+/home$", printed, re.MULTILINE)
    assert len(re.findall(r"^--- shop\.web\.r1\.\S+: Up ", printed, re.MULTILINE)) == 2
    assert re.search(r"^--- access\.log\n(.*\n)*?.*\tGET /\?asked ", printed, re.MULTILINE)
    assert "kept" not in printed


@pytest.mark.long
def test_keep(tmp_path: Path) -> None:
    """With `--keep` the service keeps running, `pipeline status` shows it, and the printed command removes it."""
    printed = run_failing(tmp_path, "--keep")
    (home,) = set(re.findall(r"label=penstock\.home=(\w+)", printed))
    removal = shlex.split(next(line for line in printed.splitlines() if "-m tests.docker.remains" in line))
    try:
        assert len(containers(home)) == 2
        status = next(line for line in printed.splitlines() if line.endswith("pipeline status"))
        assert (
            "release 1"
            in subprocess.run(
                status, shell=True, capture_output=True, text=True, check=True, timeout=LONGEST_TIMEOUT
            ).stdout
        )
    finally:
        subprocess.run(removal, cwd=ROOT, check=True, timeout=LONGEST_TIMEOUT)
    assert containers(home) == []
    assert not Path(removal[-1]).exists()
