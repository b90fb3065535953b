"""The outcome of the laboratory, played with steps that do nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

Play = Callable[..., tuple[int, list[int]]]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program of the laboratory, on a machine that can run it."""
    module = importlib.import_module("lab.__main__")
    monkeypatch.setattr(module, "obstacle", lambda: "")
    return module


@pytest.fixture
def play(main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """A function that plays steps of a new laboratory. It returns the exit code and the steps that were played."""
    finding = importlib.import_module("lab.finding").Finding
    failure = importlib.import_module("lab.laboratory").CommandFailed

    def play(*steps: int, wrong: int = 0, failing: int = 0, exists: bool = False) -> tuple[int, list[int]]:
        played: list[int] = []

        def step(number: int) -> SimpleNamespace:
            def do(lab: object) -> Sequence[object]:
                played.append(number)
                if number == failing:
                    raise failure("exit code 1: false")
                return [finding.share("a share", 25, 20 if number == wrong else 26, points=3)]

            return SimpleNamespace(TITLE=f"step {number}", play=do)

        (folder := tmp_path / "elb-lab").mkdir(exist_ok=True)
        monkeypatch.setattr(main, "FOLDER", folder if exists else tmp_path / "nowhere")
        monkeypatch.setattr(main, "STEPS", [step(number) for number in range(1, 10)])
        return main.play(steps), played

    return play


def test_all_steps(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments, all steps are played in order."""
    assert play() == (0, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert "a share  25 % ± 3  26.00 %  yes" in capsys.readouterr().out


def test_a_wrong_figure_fails_and_everything_is_removed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding that differs ends the laboratory with 1. The last step is played, those between are not."""
    assert play(wrong=3) == (1, [1, 2, 3, 9])
    assert "a share  25 % ± 3  20.00 %  NO" in capsys.readouterr().out


def test_a_failed_command_fails_and_everything_is_removed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed command ends the laboratory with 1, and its message names the step."""
    assert play(failing=2) == (1, [1, 2, 9])
    assert capsys.readouterr().err == "step 2 failed: exit code 1: false\n"


def test_what_is_not_removed_fails(play: Play) -> None:
    """A rest that the last step finds is a failure."""
    assert play(wrong=9) == (1, [1, 2, 3, 4, 5, 6, 7, 8, 9])


def test_one_step(play: Play) -> None:
    """A step is played after the first one, if that has not been played. The last step needs nothing."""
    assert play(5) == (0, [1, 5])
    assert play(1, 2) == (0, [1, 2])
    assert play(9) == (0, [9])


def test_a_laboratory_in_use_is_not_replaced(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """If a laboratory exists, playing everything is refused, and the message says how to remove it."""
    assert play(exists=True) == (3, [])
    assert "make lab ARGS=9" in capsys.readouterr().err
