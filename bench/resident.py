"""Resources of the idle daemon, and the cost of a long history."""

from __future__ import annotations

import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bench.past_runs import write_history
from bench.results import Results
from pipeline.base.home import Home
from tests.docker.project import Project, until
from tests.docker.serving import serving

TARGETS, DEPLOYMENTS, RUNS, ROUNDS = 3, 5, 10_000, 10
MINUTES = 2
MAX_CPU, MAX_MEMORY, MAX_HISTORY, MAX_START = 0.5, 80.0, 300.0, 1000.0
# Seconds until the last deployment has removed its containers and the repair loop is idle.
_SETTLE_SECONDS = 5.0


def measure() -> Results:
    """Measure CPU and memory of the idle daemon, and durations with a long history."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _project(Path(folder)) as project:
        shares, memory = _idle(project)
        write_history(project.home.database, project.name, RUNS)
        history = [_duration(project, "history") for _ in range(ROUNDS)]
        starts = [_start(project) for _ in range(ROUNDS)]
    found = (max(shares), max(memory), statistics.median(history), statistics.median(starts))
    limits = (MAX_CPU, MAX_MEMORY, MAX_HISTORY, MAX_START)
    each = ", ".join(f"{share:.2f}" for share in shares)
    rows = (
        (f"CPU of one core, in each of {MINUTES} minutes", f"{each} %", f"{MAX_CPU} %"),
        ("peak resident memory", f"{found[1]:.0f} MB", f"{MAX_MEMORY:.0f} MB"),
        (f"`pipeline history`, the longest of {ROUNDS}", f"{max(history):.0f} ms", ""),
        (f"`pipeline history`, median of {ROUNDS}", f"{found[2]:.0f} ms", f"{MAX_HISTORY:.0f} ms"),
        (f"`pipeline serve` responds, the longest of {ROUNDS}", f"{max(starts):.0f} ms", ""),
        (f"`pipeline serve` responds, median of {ROUNDS}", f"{found[3]:.0f} ms", f"{MAX_START:.0f} ms"),
    )
    return Results(
        "The idle daemon",
        f"`pipeline serve` with {TARGETS} targets, after {DEPLOYMENTS} deployments, while nothing happens. "
        f"Measured are its CPU time, including its child processes, and its resident memory. Then, with {RUNS:,} "
        "runs in the history, each with its stages and events: the duration of `pipeline history`, and the time "
        "from the start of `pipeline serve` to its first response on its socket.",
        ("what", "result", "limit"),
        rows,
        f"idle {found[0]:.2f} % of one core and {found[1]:.0f} MB; with {RUNS:,} runs `pipeline history` takes "
        f"{found[2]:.0f} ms and `pipeline serve` responds after {found[3]:.0f} ms",
        all(value <= limit for value, limit in zip(found, limits, strict=True)),
    )


@contextmanager
def _project(folder: Path) -> Iterator[Project]:
    base, home = Path(".setup/base-image").read_text().strip(), Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    project = Project(folder / "shop", base, home, replicas=TARGETS).create()
    try:
        project.configure(("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""))
        project.commit("1")
        yield project
    finally:
        project.remove()


def _idle(project: Project) -> tuple[list[float], list[float]]:
    """Return the share of one core in percent, and the memory in MB, for each minute."""
    shares, memory = [], []
    with serving(project) as served:
        served.await_run(1)
        for number in range(2, DEPLOYMENTS + 1):
            project.commit(f"{number}")
            served.await_run(number)
        time.sleep(_SETTLE_SECONDS)
        for _ in range(MINUTES):
            before, started = _cpu(served.pid), time.monotonic()
            time.sleep(60)
            shares.append((_cpu(served.pid) - before) / (time.monotonic() - started) * 100)
            memory.append(_memory(served.pid))
            print(f"idle: {shares[-1]:.3f} %, {memory[-1]:.1f} MB", file=sys.stderr)
    return shares, memory


def _cpu(pid: int) -> float:
    """Return the CPU time so far in seconds, of the process and its children that exited."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Return the resident memory in MB."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _duration(project: Project, *arguments: str) -> float:
    """Return the duration of a command in milliseconds."""
    started = time.monotonic()
    project.pipeline(*arguments)
    return (time.monotonic() - started) * 1000


def _start(project: Project) -> float:
    """Start a daemon and return the milliseconds until its first response. Stops it afterwards."""
    project.home.daemon_socket.unlink(missing_ok=True)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "serve"],
        cwd=project.directory,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(project.home.daemon_socket), "a response")
        return (time.monotonic() - started) * 1000
    finally:
        process.terminate()
        process.wait()


def _answers(path: Path) -> bool:
    with closing(http.client.HTTPConnection("localhost")) as connection, suppress(OSError):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/v1")
        return connection.getresponse().status == 200
    return False
