"""A fixture that loads a pipeline.yaml in an empty directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import Configuration, load
from tests.unit.config.loads import Loads


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loads:
    """Return a function that writes and loads a `pipeline.yaml`. Its environment is empty by default."""
    monkeypatch.chdir(tmp_path)

    def loads(
        content: str | bytes,
        overrides: dict[str, str] | None = None,
        environ: dict[str, str] | None = None,
        **options: Any,
    ) -> Configuration:
        path = Path("pipeline.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(path, overrides, environ if environ is not None else {}, **options)

    return loads
