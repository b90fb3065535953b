"""Duration of a deployment by a command and by a daemon, relative to the same work with Docker alone."""

from __future__ import annotations

import secrets
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.bare_docker import BareDocker
from bench.deployer import Deployer
from bench.earlier import install
from bench.extent import Extent
from bench.figure import Figure, median_ratio
from bench.results import Results

# The last commit before the work on speed.
EARLIER = "bf830bc"
_MAX_COMMAND = {1: 1.25, 4: 1.15, 16: 1.15}
_MAX_DAEMON, _MAX_TO_EARLIER, _MAX_REUSED = 1.12, 0.7, 0.5


class Round(NamedTuple):
    """Seconds for one version, by each method. `served` is until the first response, the others until the end."""

    floor: float
    command: float
    daemon: float
    command_served: float
    daemon_served: float
    earlier_served: float


class Comparison(NamedTuple):
    """The rounds for one number of replicas, and the time to Deploy if nothing has to be built."""

    replicas: int
    rounds: Sequence[Round]
    reused: float

    def ratio(self, name: str, base: str) -> float:
        """Return the median of the ratios of two columns."""
        return median_ratio(self._column(name), self._column(base))

    def median(self, name: str) -> float:
        """Return the median of a column."""
        return statistics.median(self._column(name))

    def _column(self, name: str) -> list[float]:
        return [getattr(each, name) for each in self.rounds]

    def row(self) -> tuple[str, ...]:
        """Return a row of the table."""
        columns = ("command_served", "daemon_served", "earlier_served")
        return (
            str(self.replicas),
            f"{self.median('floor'):.2f} s",
            f"{self.ratio('command', 'floor'):.2f}",
            f"{self.ratio('daemon', 'floor'):.2f}",
            *(f"{self.median(name):.2f} s" for name in columns),
            f"{self.reused * 1000:.0f} ms",
        )

    def figures(self) -> list[Figure]:
        """Return the ratios to the floor."""
        replicas = f"{self.replicas} replica{'s' if self.replicas > 1 else ''}"
        return [
            Figure(
                f"`pipeline run`, {replicas}: times the floor",
                self.ratio("command", "floor"),
                _MAX_COMMAND[self.replicas],
            ),
            Figure(f"by a daemon, {replicas}: times the floor", self.ratio("daemon", "floor"), _MAX_DAEMON),
        ]


def measure(extent: Extent) -> Results:
    """Measure each number of replicas."""
    count = extent.choose(5, 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        earlier = str(install(EARLIER, Path(folder) / "earlier"))
        found = [
            _compare(Path(folder) / f"{replicas}", replicas, count, earlier)
            for replicas in extent.choose((1, 4, 16), (1,))
        ]
    single = found[0]
    return Results.judged(
        "Duration of a deployment",
        f"Medians of {count} rounds, in turn, and of the ratios within a round. A run deploys a commit that changes "
        "one file of the sample application to content that was never built before. It has no tests, max_surge 100%, "
        "a check every 100 ms, and a target is healthy after one pass. It is timed from the return of `git commit` to "
        "the removal of the last old container. The command is `pipeline run` with its start. The daemon watches the "
        "repository. The floor is the same work with Docker alone: build the same context, start N containers at once "
        "in a network of their own with Docker's SDK, wait for the first 200 of the last one, stop and remove N "
        "containers at once. It has no checkout, balancer, health checks or database. Served means the first response "
        f"of the new version. The earlier command is that of commit {EARLIER}. The last column is a run of the same "
        "tree again, from the start of the command to the start of Deploy.",
        (
            "replicas",
            "floor",
            "`pipeline run`, times the floor",
            "by a daemon, times the floor",
            "`pipeline run`, served",
            "by a daemon, served",
            "earlier `pipeline run`, served",
            "time to Deploy",
        ),
        [comparison.row() for comparison in found],
        [
            *(figure for comparison in found for figure in comparison.figures()),
            Figure(
                "served by a daemon, 1 replica: times the earlier command",
                single.ratio("daemon_served", "earlier_served"),
                _MAX_TO_EARLIER,
            ),
            Figure("time to Deploy, s", max(comparison.reused for comparison in found), _MAX_REUSED),
        ],
    )


def _compare(folder: Path, replicas: int, count: int, earlier: str) -> Comparison:
    base = Path(".setup/base-image").read_text().strip()
    folder.mkdir()
    with ExitStack() as stack:

        def deployer(name: str, *, daemon: bool = False, **environment: str) -> Deployer:
            started = Deployer(folder / name, base, replicas, daemon=daemon, **environment)
            stack.callback(started.remove)
            return started

        command, daemon = deployer("command"), deployer("daemon", daemon=True)
        former = deployer("earlier", PYTHONPATH=earlier)
        context = folder / "context"
        shutil.copytree(command.project.directory, context, ignore=shutil.ignore_patterns(".git"))
        bare = BareDocker(context, base, command.project.home.id, replicas)
        stack.callback(bare.remove)
        bare.deploy(_unique())
        rounds = [_round(bare, command, daemon, former) for _ in range(count)]
        reused = statistics.median(command.reach_deploy_again() for _ in range(count))
    return Comparison(replicas, rounds, reused)


def _round(bare: BareDocker, command: Deployer, daemon: Deployer, former: Deployer) -> Round:
    by_command, by_daemon = command.deploy(_unique()), daemon.deploy(_unique())
    earlier = former.deploy(_unique())
    floor = bare.deploy(_unique())
    found = Round(floor, by_command.complete, by_daemon.complete, by_command.served, by_daemon.served, earlier.served)
    print(found, file=sys.stderr)
    return found


def _unique() -> str:
    """Return a version that no build has seen, so that no layer is taken from Docker's cache."""
    return secrets.token_hex(8)
