from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def ports_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check no ports of this machine: the declarations have fixed ones, which other programs may use."""
    monkeypatch.setattr("pipeline.balancer.balancer.check_ports_free", lambda *_: None)
