"""The cost of the daemon while nothing happens on three hosts, and how soon it notices an exit there.

`python -m tests.docker.idle_hosts --replicas 60 --seconds 60`. The machines are namespaces of this one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.balancer.model import TargetState
from pipeline.testing.machines.server import Server
from pipeline.testing.machines.site import Site, obstacle
from tests.docker.project import DEADLINE, until
from tests.docker.serving import Serving, serving
from tests.docker.site_project import SiteProject, base_image, site_home
from tests.docker.three_machines import three_machines

# A deployment of sixty containers on one machine takes longer than others.
_PATIENCE = 5 * DEADLINE
# Of a daemon that has just started, or just repaired something.
_SETTLE_SECONDS = 15.0
_EXITS = 5
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterator[int] | list[int]) -> float:
    """Return the CPU time of processes so far. One that has ended does not count."""
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def tunnel_processes(folder: Path) -> list[int]:
    """Return the keepers of the tunnels in a folder, and their ssh."""
    keepers = [pid for pid in _processes() if str(folder) in _command(pid)]
    return [*keepers, *(pid for pid in _processes() if _parent(pid) in keepers)]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def shares(served: Serving, folder: Path, seconds: float) -> tuple[float, float]:
    """Return the shares of a core that the daemon and its tunnels take, in percent."""
    groups = [[served.pid], tunnel_processes(folder)]
    before, began = [cpu_seconds(pids) for pids in groups], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    daemon, tunnels = (100 * (cpu_seconds(pids) - used) / took for pids, used in zip(groups, before, strict=True))
    return daemon, tunnels


def notice_times(project: SiteProject, served: Serving, server: Server) -> Iterator[float]:
    """Kill replicas on a server one after the other. Yield the seconds until each exit is an event."""
    for number in range(1, _EXITS + 1):
        until(lambda: is_whole(project), "all replicas", deadline=_PATIENCE)
        name = server.engine.docker("ps", "--format", "{{.Names}}", "--filter", "label=penstock.role=app").split()[0]
        began = datetime.now(UTC)
        server.engine.docker("kill", name)
        served.await_event("target.exited", number)
        yield (served.events("target.exited")[-1].at - began).total_seconds()
        # An exit during a repair is no event of its own.
        served.await_event("reconcile.repaired", number)


def is_whole(project: SiteProject) -> bool:
    """Return whether all targets are healthy, and no others are left."""
    states = [health.state for health in project.targets()]
    return states == [TargetState.HEALTHY] * project.replicas


def measure(made: Site, folder: Path, replicas: int, seconds: float) -> Iterator[str]:
    """Yield the lines of the report."""
    home = site_home(folder)
    project = SiteProject(folder / "shop", base_image(), home, replicas=replicas, site=made)
    with ExitStack() as stack:
        stack.callback(project.remove)
        project.create()
        project.configure(("  deploy_timeout: 20s\n", "  deploy_timeout: 5m\n"))
        project.commit("1")
        run = project.start("run")
        out, err = run.communicate(timeout=_PATIENCE)
        assert run.returncode == 0, f"{out}\n{err}"
        with serving(project) as served:
            time.sleep(_SETTLE_SECONDS)
            daemon, tunnels = shares(served, home.hosts, seconds)
            count = len(made.servers)
            yield f"{replicas} replicas on {count} hosts, idle: {daemon:.2f} % of a core, tunnels {tunnels:.2f} %"
            first, *_, last = made.servers.values()
            times = sorted(notice_times(project, served, first))
            yield f"an exit on a host is an event after {times[0]:.2f} to {times[-1]:.2f} s, kill included"
            last.cut_cable()
            served.await_event("host.lost", 1)
            until(lambda: is_whole(project), "all replicas on two hosts", deadline=_PATIENCE)
            time.sleep(_SETTLE_SECONDS)
            daemon, tunnels = shares(served, home.hosts, seconds)
            yield f"with one host lost: {daemon:.2f} % of a core, tunnels {tunnels:.2f} %"
            last.mend_cable()
            served.await_event("host.returned", 1)
        project.pipeline("down")


@click.command()
@click.option("--replicas", default=60)
@click.option("--seconds", default=60.0, help="The time of each measurement.")
def main(replicas: int, seconds: float) -> None:
    """Print the CPU time of an idle daemon with three hosts, and the time until it notices an exit."""
    if reason := obstacle():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="idle-") as folder, three_machines("hosts") as made:
        for line in measure(made, Path(folder), replicas, seconds):
            click.echo(line)


if __name__ == "__main__":
    main()
