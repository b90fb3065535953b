"""Golden files: compared byte for byte, and rewritten only by `pytest tests/golden --rewrite-golden`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.golden.golden_file import Golden

FILES = Path(__file__).with_name("files")
HOME = Path(__file__).with_name("home")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites the golden files."""
    parser.addoption(
        "--rewrite-golden", action="store_true", default=False, help="Write what is found into tests/golden/files."
    )


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with a golden file, or write the file if `--rewrite-golden` is given."""
    # Absent where pytest was started for all tests: it read this file too late to know the option.
    rewrites = request.config.getoption("--rewrite-golden", default=False)

    def compare(name: str, found: str) -> None:
        path = FILES / name
        if rewrites:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.encode())
        assert path.exists(), f"{path} is missing: pytest tests/golden --rewrite-golden writes it"
        # Of bytes: reading a file as text would take \r\n for \n.
        assert found == path.read_bytes().decode()

    return compare


@pytest.fixture
def recorded_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home that version 0.1.0 left, as the home of this process."""
    home = tmp_path / "home"
    shutil.copytree(HOME, home)
    with closing(sqlite3.connect(home / "penstock.db")) as database:
        database.executescript((home / "penstock.sql").read_text())
    monkeypatch.setenv("PENSTOCK_HOME", str(home))
    return home
