"""What keeps a machine from running the laboratory."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable

import pytest

Obstacle = Callable[[], str]


@pytest.fixture
def obstacle(monkeypatch: pytest.MonkeyPatch) -> Obstacle:
    """The function that returns the reason, on a machine where the user is root and all programs are installed."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    found: Obstacle = importlib.import_module("lab.requirements").obstacle
    return found


def test_another_user_than_root_is_refused(obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what to type."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo make lab" in obstacle()


def test_a_missing_program_is_named(obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says which package has it."""
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nft" else f"/usr/bin/{name}")
    assert obstacle() == "nft is not installed, or not on PATH: apt-get install nftables"


def test_a_missing_engine_is_refused(obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says how to get an engine, whether the docker command is there or not."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert obstacle().startswith("no Docker Engine answers: ")
    assert "setup/docker.sh" in obstacle()
