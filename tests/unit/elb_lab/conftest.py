"""The laboratory in examples/elb-lab, which is no installed package."""

from __future__ import annotations

import pytest

from tests.support.lab import LAB


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the packages `lab` and `table`."""
    monkeypatch.syspath_prepend(str(LAB))
