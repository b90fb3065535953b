"""Names that an image has only for a push, also if the process ends in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from pipeline.base.errors import Cancelled, EngineFault, LockHeld
from pipeline.base.home import Home
from pipeline.engine.lent_names import LentNames
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.waiting import DEADLINE

NAME = "registry.example.com/shop:1"


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.images.add("penstock/shop:1")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})


def lent(engine: FakeEngine, home: Home, run: int, image: str) -> AbstractContextManager[None]:
    """Lend the name to an image, in a process of its own."""
    return LentNames(engine.images, home, "shop").lent(run, image, NAME, Event(), timedelta(seconds=DEADLINE))


def restore(engine: FakeEngine, home: Home, running: Callable[[], Collection[int]]) -> None:
    """Take back what killed runs have left."""
    LentNames(engine.images, home, "shop").restore(running)


def files(home: Home) -> list[Path]:
    """Return the files of runs that have lent a name."""
    return list(home.pushes("shop").glob("*"))


def test_a_name_is_taken_back(engine: FakeEngine, home: Home) -> None:
    """Also after an error. A name that the image has already stays."""
    image = engine.images.known("penstock/shop:1")
    with pytest.raises(EngineFault), lent(engine, home, 7, image):
        engine.images.push("registry.example.com/unknown:1")
    assert engine.images.id(NAME) is None
    engine.images.tag(image, NAME)
    with lent(engine, home, 7, image):
        pass
    assert engine.images.id(NAME) == image
    assert files(home) == []


@pytest.mark.parametrize("had_name", [False, True])
@pytest.mark.parametrize("point", ["images.id", "images.tag", "work"])
def test_a_killed_run_leaves_nothing_after_the_next_command(
    point: str, engine: FakeEngine, home: Home, *, had_name: bool
) -> None:
    """Whatever it had done. A run in progress keeps its name."""
    image = engine.images.known("penstock/shop:1")
    other = engine.images.add(NAME) if had_name else None
    if point != "work":
        engine.faults.lose_answer(point)

    def work() -> None:
        with lent(engine, home, 7, image):
            # A killed process takes nothing back, and neither does one whose engine is away.
            engine.faults.go_away()
            raise Killed

    with pytest.raises((Killed, EngineFault)):
        work()
    engine.faults.come_back()
    engine.faults.clear()
    restore(engine, home, lambda: [7])
    if point == "work":
        assert engine.images.id(NAME) == image
    restore(engine, home, tuple)
    assert engine.images.id(NAME) == other
    assert files(home) == []
    assert engine.images.id(image) == image


def test_two_runs_that_push_one_name_do_so_one_after_the_other(engine: FakeEngine, home: Home) -> None:
    """Else the first one would push the image of the second one, or take its name away."""
    first, second = engine.images.known("penstock/shop:1"), engine.images.add("penstock/shop:2")
    pushed: list[str | None] = []

    def push() -> None:
        with lent(engine, home, 8, second):
            pushed.append(engine.images.id(NAME))

    thread = Thread(target=push)
    with lent(engine, home, 7, first):
        thread.start()
        # Neither does a command that takes names back, although the run is over in the store.
        restore(engine, home, list)
        assert (engine.images.id(NAME), pushed) == (first, [])
    thread.join(DEADLINE)
    assert (engine.images.id(NAME), pushed) == (None, [second])
    assert files(home) == []


def test_a_run_that_waits_for_a_name_ends(engine: FakeEngine, home: Home) -> None:
    """When it is cancelled, and after its timeout. The error names the other run."""
    image, cancelled = engine.images.known("penstock/shop:1"), Event()
    names = LentNames(engine.images, home, "blog")
    with lent(engine, home, 7, image):
        with (
            pytest.raises(LockHeld, match=rf"^push of {NAME} by shop \(pid"),
            names.lent(1, image, NAME, cancelled, timedelta(0)),
        ):
            pass
        cancelled.set()
        with pytest.raises(Cancelled), names.lent(1, image, NAME, cancelled, timedelta(hours=1)):
            pass
    assert engine.images.id(NAME) is None


def test_a_name_that_another_program_has_moved_stays(engine: FakeEngine, home: Home) -> None:
    """Its image would be removed with its only name."""
    image, other = engine.images.known("penstock/shop:1"), engine.images.add("another:1")
    with lent(engine, home, 7, image):
        engine.images.tag(other, NAME)
    assert engine.images.id(NAME) == other
    left = home.pushes("shop") / "8.json"
    left.write_text(json.dumps({"name": NAME, "image": image, "before": None}))
    restore(engine, home, list)
    assert engine.images.id(NAME) == other
    assert not left.exists()
