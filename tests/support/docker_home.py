"""The objects of one home in Docker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cleaned(home: str) -> Iterator[None]:
    """Remove everything of a home from Docker on leaving the block."""
    try:
        yield
    finally:
        label = f"label=penstock.home={home}"
        for kind, force in (("container", ("-f", "-v")), ("network", ()), ("image", ("-f",))):
            every = ("-a",) if kind == "container" else ()
            found = subprocess.run(
                ["docker", kind, "ls", "-q", *every, "--filter", label], capture_output=True, text=True, check=True
            ).stdout.split()
            if found:
                subprocess.run(["docker", kind, "rm", *force, *found], capture_output=True, check=False)
