"""The laboratory in examples/elb-lab, played as `make lab` plays it."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import LAB, commands, pattern
from tests.support.paths import ROOT
from tests.support.waiting import LONGEST_TIMEOUT

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
]

Play = Callable[..., subprocess.CompletedProcess[str]]
FOLDER = ROOT / ".setup" / "elb-lab"
# These commands of the README start the laboratory, and are not part of a step.
OUTSIDE = re.compile(r"(sudo |make |\. )")


@pytest.fixture
def only_laboratory() -> Iterator[None]:
    """No other worker plays meanwhile. A checkout has one laboratory."""
    with FOLDER.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def lab(base_image: str, only_laboratory: None) -> Iterator[Play]:
    """A function that plays steps of the laboratory. Everything is removed at the end."""

    def play(*steps: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lab", *steps]
        # As in a shell that has read env.sh. The laboratory must not take the learner's own processes for its own.
        home = {"PENSTOCK_HOME": str(FOLDER / "home")}
        environment = {**os.environ, **home, "PENSTOCK_BASE_IMAGE": base_image, "NO_COLOR": "1"}
        return subprocess.run(
            command, cwd=LAB, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_TIMEOUT
        )

    yield play
    if FOLDER.exists():
        play("9")


def assert_nothing_is_left() -> None:
    assert not FOLDER.exists()
    assert not Path("/run/netns/elb-lab").exists()
    assert not Path("/sys/class/net/elb-lab").exists()


@pytest.mark.long
def test_all_steps_show_what_the_readme_says(lab: Play) -> None:
    """Everything is as expected, and the commands are those of the README. Nothing is left."""
    played = lab()
    assert played.returncode == 0, played.stdout + played.stderr
    assert len(re.findall(r"^== Step \d: ", played.stdout, re.MULTILINE)) == 9
    assert len(re.findall(r" yes$", played.stdout, re.MULTILINE)) > 60
    # What is counted as removed was there before, and the kernel carried connections.
    for kind in ("containers", "images", "processes", "nft tables"):
        assert re.search(rf"^{kind}, [1-9]\d* before ", played.stdout, re.MULTILINE), played.stdout
    typed = [line.removeprefix("$ ") for line in played.stdout.splitlines() if line.startswith("$ ")]
    documented = [command for command in commands(LAB / "README.md") if not OUTSIDE.match(command)]
    assert [c for c in typed if not any(re.fullmatch(pattern(d), c) for d in documented)] == []
    assert [d for d in documented if not any(re.fullmatch(pattern(d), c) for c in typed)] == []
    assert_nothing_is_left()


def test_a_step_alone_plays_what_it_needs(lab: Play) -> None:
    """Step 1 is played first, and both stay. A second laboratory is refused, and the last step removes the first."""
    played = lab("4")
    assert played.returncode == 0, played.stdout + played.stderr
    assert re.findall(r"^== Step (\d)", played.stdout, re.MULTILINE) == ["1", "4"]
    assert (FOLDER / "repository" / "env.sh").exists()
    refused = lab()
    assert refused.returncode == 3
    assert "make lab ARGS=9" in refused.stderr
    removed = lab("9")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert_nothing_is_left()
