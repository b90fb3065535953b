"""Notice of the exit of an agent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.balancer.agent.agent_exit import AgentExit
from pipeline.balancer.companion import Companion
from tests.support.waiting import DEADLINE


class World:
    """A directory whose agent is any process that runs in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.agent = Companion(directory, title="agent", name="agent", module="none", socket_name="agent.sock")
        self.now = 100.0
        self.exit = AgentExit(self.agent, lambda: self.now)

    def start(self) -> subprocess.Popen[bytes]:
        """Start a process, and note it as the agent."""
        code = "import sys; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, cwd=self.directory)
        (self.directory / "agent.pid").write_text(f"{process.pid} version")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process."""
        process.kill()
        process.communicate()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.exit.close()


def test_an_exit_is_noticed_at_once(world: World) -> None:
    """The descriptor becomes readable. Until then, it is the same one."""
    process = world.start()
    descriptor = world.exit.descriptor()
    assert descriptor is not None
    assert world.exit.descriptor() == descriptor
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert not poll.poll(0)
    world.end(process)
    assert poll.poll(DEADLINE * 1000)
    assert world.exit.descriptor() is None


def test_without_an_agent_there_is_nothing_to_wait_for(world: World) -> None:
    """Also if the one that was started has exited, and its number belongs to another process."""
    assert world.exit.descriptor() is None
    (world.directory / "agent.pid").write_text(f"{os.getpid()} version")
    assert world.exit.descriptor() is None


def test_an_agent_that_fails_at_once_is_not_waited_for(world: World) -> None:
    """So it is started again as often as others, and not all the time."""
    first = world.start()
    assert world.exit.descriptor() is not None
    world.end(first)
    second = world.start()
    assert world.exit.descriptor() is None
    world.now += 1.1
    assert world.exit.descriptor() is not None
    world.end(second)
