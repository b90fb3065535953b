"""The command line itself: fast help, usage errors, no tracebacks."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.cli.commands import COMMANDS
from tests.support.command_line import pipeline


def test_help_names_every_command_and_the_exit_codes() -> None:
    """The help lists every command and every exit code."""
    done = pipeline("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert "4 rolled back" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """The help of every command starts with a line of description."""
    done = pipeline(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: python -m pipeline.cli.main {command}")


@pytest.mark.timing
def test_help_costs_little() -> None:
    """The help takes less than 120 ms of processor time."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        pipeline("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < 0.120


GARBAGE = """\
import atexit, gc, sys
from pipeline.cli.main import main
before = sum(generation["collections"] for generation in gc.get_stats())
sys.argv = ["pipeline", "schema"]
atexit.register(lambda: print(
    sum(generation["collections"] for generation in gc.get_stats()) - before, len(gc.get_objects()), file=sys.stderr
))
main()
"""


def test_a_command_does_not_search_for_garbage() -> None:
    """A command with many imports searches for garbage not once, and at its exit only among a few objects."""
    done = subprocess.run([sys.executable, "-c", GARBAGE], capture_output=True, text=True, check=True)
    collections, objects = map(int, done.stderr.split())
    assert collections == 0
    assert objects < 1000


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["deploy"], 2, "Error: unknown command deploy (did you mean demo?)"),
        (["rum"], 2, "Error: unknown command rum (did you mean run?)"),
        (["run", "--jason"], 2, "Error: No such option '--jason'. Did you mean '--json'?"),
        (["history", "-n", "0"], 2, "Error: Invalid value for '-n': 0 is not in the range 1<=x<=1000."),
        (["validate"], 2, "error: pipeline.yaml does not exist\nhint: create one with `pipeline init`"),
        (
            ["validate", "-p", "x"],
            2,
            "error: -p x: this home has no pipeline of this name\nhint: a parameter has the form NAME=VALUE",
        ),
    ],
)
def test_usage_errors(arguments: list[str], code: int, expected: str, tmp_path: Path) -> None:
    """Every usage error states the rule or has a suggestion."""
    done = pipeline(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_version() -> None:
    """The version is printed with the distribution's name."""
    assert pipeline("--version").stdout.startswith("penstock, version ")


def with_closed_output(*arguments: str, also_errors: bool = False) -> tuple[int, str]:
    """Run a command whose output has no reader. Return its exit code and its errors, if somebody reads these."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    errors = writer if also_errors else subprocess.PIPE
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(command, stdout=output, stderr=errors, text=True, check=False)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize(
    "arguments",
    ["--help", "status --help", "--version", "schema", "status", "history --json", "balancer", "balancer metrics"],
)
def test_a_closed_pipe_is_no_error(arguments: str, home: Home) -> None:  # with a pipeline.yaml
    """The reader may close the pipe before the first byte or later, as `true` and `head` do."""
    assert with_closed_output(*arguments.split()) == (0, "")


def test_an_error_keeps_its_code_without_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody reads the message."""
    monkeypatch.chdir(tmp_path)
    assert with_closed_output("validate", also_errors=True)[0] == 2
    assert with_closed_output("rum", also_errors=True)[0] == 2
    code, text = with_closed_output("validate")
    assert (code, text.splitlines()[0]) == (2, "error: pipeline.yaml does not exist")
