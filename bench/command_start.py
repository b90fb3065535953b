"""CPU time of commands that users run all the time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.idle_project import idle_project
from bench.results import Results
from tests.docker.project import Project
from tests.docker.serving import serving

_MAX_HELP, _MAX_STATUS = 30.0, 80.0


def measure(extent: Extent) -> Results:
    """Measure `--help` and `status`, without and with a daemon."""
    rounds = extent.choose(20, 5)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, idle_project(Path(folder), 1) as project:
        project.pipeline("run")
        without = [(_cpu(project, "--help"), _cpu(project, "status")) for _ in range(rounds)]
        with serving(project):
            served = [_cpu(project, "status") for _ in range(rounds)]
    shown, alone = (statistics.median(values) for values in zip(*without, strict=True))
    by_daemon = statistics.median(served)
    return Results.judged(
        "Start of a command",
        f"CPU time of a command from start to end, median of {rounds}, with Python's bytecode as users have it.",
        ("command", "CPU"),
        [
            ("`pipeline --help`", f"{shown:.0f} ms"),
            ("`pipeline status`, no daemon", f"{alone:.0f} ms"),
            ("`pipeline status`, with a daemon", f"{by_daemon:.0f} ms"),
        ],
        [
            Figure("`pipeline --help`, ms", shown, _MAX_HELP),
            Figure("`pipeline status` with a daemon, ms", by_daemon, _MAX_STATUS),
        ],
    )


def _cpu(project: Project, *arguments: str) -> float:
    """Run a command as users do, and return the CPU time of it and its children in milliseconds."""
    command = [str(Path(sys.executable).with_name("pipeline")), *arguments]
    process = subprocess.Popen(
        command, cwd=project.directory, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments} failed"
    return (usage.ru_utime + usage.ru_stime) * 1000
