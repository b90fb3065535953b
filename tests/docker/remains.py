"""The containers, HAProxy and files of a test's home: shown when a test fails, and left by `pytest --keep`.

`python -m tests.docker.remains FOLDER` removes what `pytest --keep` left in FOLDER.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.base.home import Home
from tests.docker.docker_cli import docker
from tests.support.docker_command import docker_command
from tests.support.kept import PREFIX
from tests.support.private_engine import is_private
from tests.support.waiting import DEADLINE

LINES = 10


def describe(home: Home) -> str:
    """Return the home's path and the last lines of its containers, of HAProxy and of `pipeline serve`."""
    parts = [f"home: {home.root}"]
    try:
        parts += _containers(home)
    except subprocess.CalledProcessError as error:
        parts.append(f"docker: {error.stderr.strip()}")
    except AssertionError as error:
        parts.append(str(error))
    for log in (home.balancer / "access.log", *sorted(home.root.parent.glob("serve-*.log"))):
        if log.exists():
            parts += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-LINES:]]
    return "\n".join(parts)


def _containers(home: Home) -> Iterator[str]:
    form = "{{.Names}}\t{{.Status}}"
    for line in docker("ps", "--all", "--filter", _label(home), "--format", form).splitlines():
        name, status = line.split("\t")
        printed = docker_command("logs", "--tail", str(LINES), name, check=False)
        yield f"--- {name}: {status}"
        yield f"{printed.stdout}{printed.stderr}".rstrip()


def instructions(directory: Path, home: Home) -> str:
    """Return commands that show a project whose repository is in `directory`."""
    pipeline = Path(sys.executable).with_name("pipeline")
    return "\n".join(
        (
            f"cd {directory} && PENSTOCK_HOME={home.root} {pipeline} status",
            f"docker ps --all --filter {_label(home)}",
            f"tail {home.balancer / 'access.log'}",
        )
    )


def remove(home: Home) -> None:
    """Stop both data planes and remove what has the home's label in Docker. Nothing is drained. Safe to repeat.

    What is in a private engine goes with it: the removal of a container has hung there.
    """
    FlowPlane(home.balancer, HAProxyPlane(home.balancer)).stop()
    if is_private(os.environ.get("DOCKER_HOST", "")):
        return
    label = _label(home)
    if found := docker("ps", "--all", "--quiet", "--filter", label).split():
        docker("rm", "--force", "--volumes", *found)
    if found := docker("network", "ls", "--quiet", "--filter", label).split():
        docker("network", "rm", *found)
    # An image that another project's image is built on stays for that one.
    found = docker("image", "ls", "--quiet", "--filter", label).split()
    docker_command("image", "rm", "--force", *found, check=False)


def main(folder: Path) -> None:
    """Remove every home in a folder that `pytest --keep` made, and the folder."""
    if not folder.name.startswith(PREFIX):
        sys.exit(f"{folder} was not left by pytest --keep")
    for locks in folder.rglob("locks"):
        if (locks.parent / "balancer").is_dir():
            remove(Home.locate({"PENSTOCK_HOME": str(locks.parent)}))
            if locks.parent.is_mount():
                subprocess.run(["umount", "--lazy", str(locks.parent)], check=True, timeout=DEADLINE)
    shutil.rmtree(folder)


def _label(home: Home) -> str:
    return f"label=penstock.home={home.id}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
