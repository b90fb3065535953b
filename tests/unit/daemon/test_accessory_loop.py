"""The daemon starts accessories that do not run, and does nothing for pipelines that have none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.config.load import load
from pipeline.daemon.accessory_loop import AccessoryLoop
from pipeline.runner.context import PipelineContext
from tests.support.accessory_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


def loop_of(world: World) -> AccessoryLoop:
    """Return a loop that uses the engine of the world."""
    context = PipelineContext(world.home, load(world.file), world.store, [world.events.append], clock=world.clock)
    return AccessoryLoop(lambda: context, lambda _: world.engine)


def test_a_pipeline_without_accessories_asks_no_engine(world: World) -> None:
    """It is looked at once a minute."""
    calls = sum(world.engine.faults.calls.values())
    assert loop_of(world).step() == timedelta(minutes=1)
    assert sum(world.engine.faults.calls.values()) == calls


def test_a_container_that_was_removed_is_started(world: World) -> None:
    """The next step comes soon, until it is healthy."""
    world.accessories().start()
    world.engine.containers.forget(world.running[0].id)
    loop = loop_of(world)
    assert loop.step() == timedelta(seconds=1)
    world.clock.advance(timedelta(seconds=1))
    assert loop.step() == timedelta(seconds=10)
    assert len(world.running) == 1


def test_a_fault_is_reported_once_and_retried_later(world: World) -> None:
    """The time between two attempts grows. A success resets it."""
    world.accessories().start()
    loop = loop_of(world)
    world.engine.faults.fail("containers.of", EngineFault("Docker is away"), times=3)
    assert [loop.step().total_seconds() for _ in range(3)] == [5, 10, 20]
    told = [event.message for event in world.events if event.kind == "reconcile.failed"]
    assert told == ["accessories: Docker is away"]
    assert loop.step() == timedelta(seconds=10)
    world.engine.faults.fail("containers.of", EngineFault("Docker is away"))
    assert loop.step() == timedelta(seconds=5)


def test_an_interrupted_upgrade_is_completed(world: World) -> None:
    """A process was killed between the stop of the old container and the start of the new one."""
    world.accessories().start()
    world.write("db:2")
    world.engine.faults.fail("containers.start", EngineFault("killed"))
    with pytest.raises(EngineFault):
        world.accessories().upgrade("db")
    loop = loop_of(world)
    for _ in range(3):
        loop.step()
        world.clock.advance(timedelta(seconds=1))
    assert loop.step() == timedelta(seconds=10)
    assert world.running[0].image == world.engine.images.known("db:2")
