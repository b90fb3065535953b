"""The objects of one home in Docker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.docker_command import docker_command


@contextmanager
def cleaned(home: str) -> Iterator[None]:
    """Remove everything of a home from Docker on leaving the block."""
    try:
        yield
    finally:
        label = f"label=penstock.home={home}"
        for kind, force in (("container", ("-f", "-v")), ("network", ()), ("image", ("-f",))):
            every = ("-a",) if kind == "container" else ()
            found = docker_command(kind, "ls", "-q", *every, "--filter", label).stdout.split()
            if found:
                docker_command(kind, "rm", *force, *found, check=False)
