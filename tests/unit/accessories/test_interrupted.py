"""A command is killed at each of its steps. What follows completes it, or takes it back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.accessories.record import WantedState
from pipeline.base.errors import ConfigError, PenstockError
from pipeline.engine.labels import LABEL_VERSION
from pipeline.testing.fakes.console import FakeProcess
from tests.support.accessory_world import Killed, World

ACTS: dict[str, Callable[[World], object]] = {
    "start": lambda world: world.accessories().start(),
    "stop": lambda world: world.accessories().stop("db"),
    "restart": lambda world: world.accessories().restart("db"),
    "upgrade": lambda world: world.accessories().upgrade("db"),
    "down": lambda world: world.accessories().remove_all(),
    "restore": lambda world: world.backups().restore("db"),
}
# The file that the killed command reads. The container runs from db:1.
FILES = {"down": "db:2", "upgrade": "db:2", "failed upgrade": "db:3", "stop": "db:1", "restart": "db:1"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with a backup."""
    found = World(tmp_path)
    found.accessories().start()
    found.backups().create("db")
    yield found
    found.store.close()


def killed_at_each_step(world: World, name: str) -> Iterator[None]:
    """Kill a command after each of its steps, and at last let it live. The file has db:2 afterwards."""
    # Between the end of a step and the begin of the next one, nothing changes.
    for step in itertools.count(1, 2):
        world.accessories().remove_all()
        world.write("db:1")
        world.accessories().start()
        world.write(FILES[name])
        world.kill_at(step)
        with suppress(Killed, PenstockError):
            ACTS[name.removeprefix("failed ")](world)
        has_lived = world.has_kill_left
        world.kill_at(None)
        world.write("db:2")
        yield
        if has_lived:
            return


def check_kept(world: World) -> None:
    """Check that the container of the current version is there, unless it is to be removed."""
    record = world.record
    if record is not None and record.current is not None and record.wanted is not WantedState.REMOVED:
        assert record.current.id in {each.labels[LABEL_VERSION] for each in world.containers}


def restored(world: World) -> str:
    """Restore the backup, and return why it was refused."""
    try:
        world.backups().restore("db")
    except ConfigError as error:
        return error.message
    return ""


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("killed", ["stop", "restart", "upgrade", "down"])
def test_the_container_that_was_healthy_is_kept(world: World, killed: str, act: str) -> None:
    """A command follows, and then a daemon. The record is about a container that is there."""
    for _ in killed_at_each_step(world, killed):
        with suppress(PenstockError):
            ACTS[act](world)
        check_kept(world)
        with suppress(PenstockError):
            world.repaired()
        world.repaired()
        check_kept(world)
        assert len(world.running) == (world.record is not None and world.record.wanted is WantedState.RUNNING)


def test_a_stop_completes_a_removal(world: World) -> None:
    """The next start makes a container of the file, as after a removal that was not killed."""
    for _ in killed_at_each_step(world, "down"):
        if world.record is None or world.record.wanted is not WantedState.REMOVED:
            continue
        world.accessories().stop("db")
        assert world.containers == []
        assert world.declared().records() == []
        world.accessories().start()
        assert [each.image for each in world.running] == [world.engine.images.known("db:2")]


@pytest.mark.parametrize("killed", FILES)
def test_nothing_stops_a_container_during_its_restore(world: World, killed: str) -> None:
    """What a killed command began is completed before. A daemon and a deployment that come meanwhile stop nothing."""
    used: list[str] = []
    exec_command = world.console.exec

    def disturbed(container: str, command: Sequence[str], *, tty: bool) -> FakeProcess:
        process = exec_command(container, command, tty=tty)
        for come in (world.accessories().repair, world.accessories().start):
            come()
            assert [each.id for each in world.running] == [container]
        used.append(container)
        return process

    world.console.exec = disturbed  # type: ignore[method-assign]
    for _ in killed_at_each_step(world, killed):
        used.clear()
        assert (restored(world), len(used)) in [("", 1), ("accessory db does not run", 0)]
