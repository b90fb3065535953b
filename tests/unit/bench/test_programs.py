"""Programs that a measurement needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.programs import ProgramMissing, find_program, program


def test_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on PATH is found."""
    (tmp_path / "proxy-of-a-test").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("proxy-of-a-test") == str(tmp_path / "proxy-of-a-test")


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not installed is named."""
    monkeypatch.setenv("PATH", "")
    assert find_program("proxy-of-a-test") is None
    with pytest.raises(ProgramMissing, match="proxy-of-a-test"):
        program("proxy-of-a-test")
