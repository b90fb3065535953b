"""Names that an image has only for a push, also if the process ends in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.lent_names import LentNames
from pipeline.testing.fakes.engine import FakeEngine

NAME = "registry.example.com/shop:1"


class Killed(BaseException):
    """The process ends here."""


def killed(engine: FakeEngine) -> None:
    """End the process. It takes nothing back, and neither does one whose engine is away."""
    engine.faults.go_away()
    raise Killed


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.images.add("penstock/shop:1")
    return made


def names(engine: FakeEngine, folder: Path) -> LentNames:
    return LentNames(engine.images, folder)


def test_a_name_is_taken_back(engine: FakeEngine, tmp_path: Path) -> None:
    """Also after an error. A name that the image has already stays."""
    image = engine.images.known("penstock/shop:1")
    with pytest.raises(EngineFault), names(engine, tmp_path).lent(7, image, NAME):
        engine.images.push("registry.example.com/unknown:1")
    assert engine.images.id(NAME) is None
    engine.images.tag(image, NAME)
    with names(engine, tmp_path).lent(7, image, NAME):
        pass
    assert engine.images.id(NAME) == image
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("had_name", [False, True])
@pytest.mark.parametrize("point", ["images.id", "images.tag", "work"])
def test_a_killed_run_leaves_nothing_after_the_next_command(
    point: str, engine: FakeEngine, tmp_path: Path, *, had_name: bool
) -> None:
    """Whatever it had done. A run in progress keeps its name."""
    image = engine.images.known("penstock/shop:1")
    other = engine.images.add(NAME) if had_name else None
    if point != "work":
        engine.faults.lose_answer(point)
    with pytest.raises((Killed, EngineFault)), names(engine, tmp_path).lent(7, image, NAME):
        killed(engine)
    engine.faults.come_back()
    engine.faults.clear()
    names(engine, tmp_path).restore(lambda: [7])
    if point == "work":
        assert engine.images.id(NAME) == image
    names(engine, tmp_path).restore(tuple)
    assert engine.images.id(NAME) == other
    assert list(tmp_path.iterdir()) == []
    assert engine.images.id(image) == image
