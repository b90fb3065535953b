"""Resources of the idle daemon, how soon it knows of a target's death, and the cost of a long history."""

from __future__ import annotations

import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from bench.extent import Extent
from bench.figure import Figure
from bench.followers import following
from bench.idle_project import idle_project, settle
from bench.past_runs import write_history
from bench.process import pss, rss, share
from bench.results import Results
from pipeline.engine.labels import LABEL_HOME
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving

TARGETS, DEPLOYMENTS, RUNS, FOLLOWERS = 3, 5, 10_000, 50
_MAX_CPU, _MAX_PSS, _MAX_FOLLOWED, _MAX_DEATH = 0.08, 50.0, 1.0, 50.0
_MAX_HISTORY, _MAX_START = 300.0, 1000.0


def measure(extent: Extent) -> Results:
    """Measure the idle daemon, then durations with a long history."""
    seconds, repeats = extent.choose((60, 10), (5, 2))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, idle_project(Path(folder), TARGETS) as project:
        with serving(project) as served:
            for number in range(1, extent.choose(DEPLOYMENTS, 1) + 1):
                served.await_run(number)
                if number < extent.choose(DEPLOYMENTS, 1):
                    project.commit(f"{number + 1}")
            settle()
            idle = [share(served.pid, seconds) for _ in range(extent.choose(2, 1))]
            proportional, resident = pss(served.pid), rss(served.pid)
            with following(project.home.daemon_socket, FOLLOWERS):
                followed = share(served.pid, seconds)
            contacted = pss(served.pid)
            deaths = [_death(served) for _ in range(extent.choose(5, 1))]
        write_history(project.home.database, project.name, RUNS)
        history = [_duration(project, "history") for _ in range(repeats)]
        starts = [_start(project) for _ in range(repeats)]
    figures = [
        Figure("idle, % of one core", max(idle), _MAX_CPU),
        Figure("idle, MB of PSS", proportional, _MAX_PSS),
        Figure(f"with {FOLLOWERS} followers, % of one core", followed, _MAX_FOLLOWED),
        Figure("a target's death known, ms after Docker", statistics.median(deaths), _MAX_DEATH),
        Figure("`pipeline history`, ms", statistics.median(history), _MAX_HISTORY),
        Figure("`pipeline serve` responds, ms", statistics.median(starts), _MAX_START),
    ]
    print(f"resident {resident:.1f} MB, deaths {deaths}", file=sys.stderr)
    longest = ("", "", "", f"{max(deaths):.0f}", f"{max(history):.0f}", f"{max(starts):.0f}")
    return Results.judged(
        "The idle daemon",
        f"`pipeline serve` with {TARGETS} targets, after {extent.choose(DEPLOYMENTS, 1)} deployments, while nothing "
        f"happens for {seconds} s. Its CPU time includes its child processes. PSS counts a page that several "
        f"processes use in parts; its resident memory is {resident:.0f} MB. The first client loads "
        f"the HTTP server: then the PSS is {contacted:.0f} MB. Followers are clients of `/v1/events`. A "
        "target's death is a `docker kill`; it is known by the daemon's first event after it, and the time is counted "
        f"from Docker's own event. Then, with {RUNS:,} runs in the history, each with its stages and events: the "
        "duration of `pipeline history`, and the time from the start of `pipeline serve` to its first response on its "
        "socket.",
        ("what", "result", "longest", "limit"),
        [
            (figure.name, figure.printed, most, f"{figure.limit:g}")
            for figure, most in zip(figures, longest, strict=True)
        ],
        figures,
    )


def _death(served: Serving) -> float:
    """Kill a target, and return the milliseconds from Docker's event to the daemon's. Waits for the repair."""
    project, begin = served.project, datetime.now(UTC)
    repaired = len(served.events("reconcile.repaired"))
    docker("kill", project.containers()[0].name)
    served.await_event("reconcile.repaired", repaired + 1, deadline=60)
    with project.store() as store:
        known = min(e.at for e in store.events.latest(project.name) if e.at > begin)
    end = datetime.now(UTC)
    filters = (f"label={LABEL_HOME}={project.home.id}", "event=die")
    words = [word for each in filters for word in ("--filter", each)]
    since = ("--since", f"{begin.timestamp():.6f}", "--until", f"{end.timestamp():.6f}")
    died = int(docker("events", *since, *words, "--format", "{{.TimeNano}}").split()[0]) / 1e9
    settle()
    return (known.timestamp() - died) * 1000


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
