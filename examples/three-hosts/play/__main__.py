"""The program of `make hosts`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pipeline.errors import PenstockError
from pipeline.testing.machines.site import Site, obstacle, site
from pipeline.testing.machines.swarm import form_swarm
from play.phase import show
from play.shell import CommandFailed, Shell
from play.tour import Tour

ZONES = {"app1": "a", "app2": "b", "app3": "c"}


@click.command("make hosts")
@click.argument("runtime", type=click.Choice(("ssh", "swarm")), default="ssh")
def command(runtime: str) -> None:
    """Deploy to three machines that are reached by SSH, or with ARGS=swarm to a Swarm of them."""
    if reason := obstacle():
        sys.exit(f"{reason}\nrun it as root: sudo make hosts")
    began = time.monotonic()
    try:
        with machines(is_swarm=runtime == "swarm") as (made, shell):
            found = Tour(made, shell).play()
    except (CommandFailed, PenstockError) as error:
        sys.exit(f"the tour failed: {error}")
    print()
    for line in show(found):
        print(line)
    print(f"\n{time.monotonic() - began:.0f} s")
    sys.exit(1 if found[-1].lost > found[-1].there else 0)


@contextmanager
def machines(*, is_swarm: bool) -> Iterator[tuple[Site, Shell]]:
    """Start the machines, and yield them with a shell in the repository of a pipeline."""
    print("== Three machines, each with an engine and an SSH server", flush=True)
    with site(*ZONES) as made:
        environment = dict(made.access.environment)
        for name, zone in ZONES.items():
            print(f"{name}  zone {zone}  {made.servers[name].address}")
        base = os.environ.get("PENSTOCK_BASE_IMAGE") or "python:3.12-slim"
        # As if each had pulled it once. After that, only small layers are sent.
        made.load(base)
        if is_swarm:
            form_swarm(made, zones=ZONES)
            environment["DOCKER_HOST"] = made.servers["app1"].engine.address
        yield made, Shell(made.folder, environment, "swarm.yaml" if is_swarm else "pipeline.yaml")


if __name__ == "__main__":
    command()
