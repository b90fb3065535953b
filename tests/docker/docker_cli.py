"""The docker command, which tests use as a check that is independent of Penstock's engine module."""

from __future__ import annotations

import os
import signal

from tests.support.docker_command import docker_command
from tests.support.waiting import until


def docker(*arguments: str) -> str:
    """Run a docker command. Return its output. See `docker_command`."""
    return docker_command(*arguments).stdout


def process_of(container: str) -> int:
    """Return the pid of a container, once it has a process.

    Docker reports 0 while it restarts the container, and a signal to 0 would kill the caller's own process group.
    """
    inspect = ("inspect", "--format", "{{.State.Pid}}", container)
    return int(until(lambda: int(docker(*inspect)), f"a process of {container}"))


def kill_process(container: str) -> None:
    """Kill the process of a container with SIGKILL, as a crash does."""
    os.kill(process_of(container), signal.SIGKILL)
