"""Deployments and faults on three machines under load, with a table of the requests that were lost.

`python -m tests.docker.three_machines hosts`: six replicas on three hosts that are reached by SSH.
`python -m tests.docker.three_machines swarm`: the same on a Swarm of three managers.
`python -m tests.docker.three_machines swarm-own`: the same deployments by Swarm's own updates, start-first.
`python -m tests.docker.three_machines times-hosts`, or `times-swarm`: how long deployments take, without load.

The machines are namespaces of this one. Each request is sent when it is due; a tenth take three seconds. The
application ends at SIGTERM, so a request that is in flight then is lost. With `--graceful` that of `swarm-own` finishes
its requests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from pipeline.balancer.access import AccessLog
from pipeline.balancer.planes import open_balancer
from pipeline.testing.load.failed_targets import failed_targets
from pipeline.testing.machines.site import Site, obstacle, site
from pipeline.testing.machines.swarm import form_swarm
from tests.docker.cluster_faults import FAULTS, ClusterUnderFaults, Lost
from tests.docker.cluster_times import hosts_times, swarm_times
from tests.docker.cluster_work import PenstockWork
from tests.docker.serving import serving
from tests.docker.site_project import (
    ZONES,
    SiteLoad,
    SiteProject,
    base_image,
    counts,
    end_at_once,
    failures,
    site_home,
    site_load,
)
from tests.docker.swarm_service import swarm_service

REPLICAS = 6
TIMES = {"times-hosts": hosts_times, "times-swarm": swarm_times}
WAYS = ("hosts", "swarm", "swarm-own", "times-hosts", "times-swarm")


@dataclass(frozen=True)
class Extent:
    """How often the work is done."""

    deployments: int
    rollbacks: int
    kills: int


@dataclass
class Played:
    """What was done, and what became of the requests meanwhile."""

    load: SiteLoad
    log: AccessLog
    took: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def play(self, what: str, work: Callable[[], Lost | None]) -> None:
        """Do something as a phase of the load. It returns the addresses of machines that cannot be reached."""
        self.load.mark(what)
        self.log.skip()
        began = time.monotonic()
        try:
            lost = work()
            self.notes[what] = self._note(lost) if lost is not None else ""
        except AssertionError as error:
            self.notes[what] = "NOT AS EXPECTED"
            click.echo(str(error), err=True)
        self.took[what] = time.monotonic() - began
        click.echo(f"{what}: {self.took[what]:.0f} s {self.notes[what]}", err=True)

    def _note(self, lost: Lost) -> str:
        """Return where the requests of a phase failed, by the balancer's log."""
        failed = failed_targets(self.log)
        there = sum(address in lost for address in failed)
        return f"{there} sent to a lost machine, {len(failed) - there} to others"

    def table(self) -> Iterator[str]:
        """Yield the lines of the table."""
        reports = self.load.stop()
        found = counts(reports)
        yield f"{'during':34} {'took':>7} {'requests':>9} {'lost':>6}  note"
        for what, took in self.took.items():
            sent, failed = found.get(what, (0, 0))
            yield f"{what:34} {took:>5.0f} s {sent:>9} {failed:>6}  {self.notes[what]}"
        sent, failed = (sum(getattr(report, name) for report in reports) for name in ("sent", "failed"))
        yield f"{'all':34} {sum(self.took.values()):>5.0f} s {sent:>9} {failed:>6}"
        for each in failures(reports)[:20]:
            yield f"  {each.at:.1f} s: {each.method} of {each.phase}, failed in {each.lost_in}: {each.reason}"


@contextmanager
def three_machines(way: str) -> Iterator[Site]:
    """Run three machines with the base image, as hosts or as a Swarm."""
    names = ("app1", "app2", "app3")
    with site(*names) as made:
        made.load(base_image())
        if "swarm" in way:
            form_swarm(made, zones=dict(zip(names, ZONES, strict=True)))
        yield made


def play_penstock(made: Site, folder: Path, extent: Extent, faults: bool, is_swarm: bool) -> Iterator[str]:
    """Deploy by Penstock, then inject faults beside its daemon. Yield the lines of the table."""
    home = site_home(folder)
    project = SiteProject(folder / "shop", base_image(), home, replicas=REPLICAS, site=made, swarm=is_swarm)
    with ExitStack() as stack:
        stack.callback(project.remove)
        project.create()
        end_at_once(project.directory)
        project.commit("1")
        project.pipeline("run")
        log = open_balancer(home.balancer).access_log()
        played = Played(stack.enter_context(site_load(project.port)), log)
        work = PenstockWork(project)
        for what, do in work.steps(extent.deployments, extent.rollbacks, extent.kills):
            played.play(what, do)
        if faults:
            with serving(project) as served:
                under = ClusterUnderFaults(project, made, served)
                for what, inject in FAULTS["swarm" if is_swarm else "hosts"].items():
                    played.play(what, partial(inject, under))
        yield from played.table()
        yield f"\nrunning at the end: {len(project.running())}"
        project.pipeline("down")


def play_swarm(made: Site, folder: Path, extent: Extent, is_graceful: bool) -> Iterator[str]:
    """Deploy by Swarm's own updates. Yield the lines of the table."""
    with ExitStack() as stack:
        own = stack.enter_context(swarm_service(made, folder, base_image(), is_graceful=is_graceful))
        log = open_balancer(folder / "balancer").access_log()
        played = Played(stack.enter_context(site_load(own.port)), log)

        def deploy() -> None:
            for number in range(2, extent.deployments + 2):
                own.update(own.build(str(number)))

        def go_back() -> None:
            for _ in range(extent.rollbacks):
                own.roll_back()

        played.play(f"{extent.deployments} rolling deployments", deploy)
        played.play(f"{extent.rollbacks} rollbacks", go_back)
        played.play("a failing release", lambda: own.update_to_broken(own.build("broken")))
        yield from played.table()


@click.command()
@click.argument("way", type=click.Choice(WAYS))
@click.option("--deployments", default=20)
@click.option("--rollbacks", default=5)
@click.option("--kills", default=10, help="How many deployments are killed by SIGKILL, each at another step.")
@click.option("--faults/--no-faults", default=True, help="Also lose machines and cables.")
@click.option("--graceful", is_flag=True, help="Let the application of swarm-own finish its requests after SIGTERM.")
@click.option("--rounds", default=7, help="How many deployments of each kind are timed.")
def main(way: str, deployments: int, rollbacks: int, kills: int, faults: bool, graceful: bool, rounds: int) -> None:
    """Print a table of the requests that were lost on three machines, or of the times of deployments."""
    if reason := obstacle():
        sys.exit(reason)
    extent = Extent(deployments, rollbacks, kills)
    with tempfile.TemporaryDirectory(prefix="three-") as folder, three_machines(way) as made:
        if way in TIMES:
            lines = TIMES[way](made, Path(folder), rounds)
        elif way == "swarm-own":
            lines = play_swarm(made, Path(folder), extent, graceful)
        else:
            lines = play_penstock(made, Path(folder), extent, faults, way == "swarm")
        for line in lines:
            click.echo(line)


if __name__ == "__main__":
    main()
