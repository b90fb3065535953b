"""What is known about an engine is asked again after a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.server import recently


@pytest.fixture
def ask() -> Callable[[], str]:
    """Return a question with another answer each time."""
    numbers = count(1)
    return lambda: str(next(numbers))


def test_a_fact_is_asked_once_a_minute(tmp_path: Path, ask: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute the engine may have been upgraded."""
    address, now = str(tmp_path), time.monotonic()
    answers = [recently(address, "version", ask) for _ in range(3)]
    monkeypatch.setattr(time, "monotonic", lambda: now + 62)
    assert [*answers, recently(address, "version", ask)] == ["1", "1", "1", "2"]


def test_engines_and_facts_are_apart(tmp_path: Path, ask: Callable[[], str]) -> None:
    """Each has its own answer."""
    places = [(str(tmp_path), "version"), (str(tmp_path), "log driver"), (f"{tmp_path}/b", "version")]
    assert [recently(*place, ask) for place in (*places, *places)] == ["1", "2", "3", "1", "2", "3"]


def test_an_error_is_not_kept(tmp_path: Path, ask: Callable[[], str]) -> None:
    """The next caller asks again."""

    def fail() -> str:
        raise EngineFault("Docker is not running")

    with pytest.raises(EngineFault):
        recently(str(tmp_path), "version", fail)
    assert recently(str(tmp_path), "version", ask) == "1"
