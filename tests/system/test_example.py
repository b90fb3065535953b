"""The example of a load balancer without a pipeline works as its page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.system.bench import Backend, Bench


def test_the_example(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first half starts the balancer and the second half stops it."""
    monkeypatch.chdir(tmp_path)
    begins, ends = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "balancer.md").read_text(), re.DOTALL)
    backend: Backend = bench.backend("web-1")
    text = begins.replace("8000", str(bench.port)).replace("9000", str(backend.target.port))
    names: dict[str, Any] = {}
    exec(text, names)
    assert (names["balancer"].directory.resolve(), bench.get()) == (bench.balancer.directory, (200, "web-1"))
    exec(ends, names)
    assert bench.balancer.registry().owners == ()
    with pytest.raises(ConnectionRefusedError):
        bench.get()
