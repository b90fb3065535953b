"""Golden files: compared byte for byte, and rewritten only by `pytest tests/golden --rewrite-golden`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FILES = Path(__file__).with_name("files")

Golden = Callable[[str, str], None]


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
