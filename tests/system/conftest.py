"""Balancers for tests with a real HAProxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.alb import Alb
from tests.system.bench import OWNER, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A balancer with a free port and nothing declared yet."""
    bench = Bench(tmp_path / "balancer")
    try:
        yield bench
    finally:
        for backend in bench.backends:
            backend.end()
        bench.balancer.withdraw(OWNER)
        bench.balancer.withdraw("other")


@pytest.fixture
def alb(tmp_path: Path) -> Iterator[Alb]:
    """A load balancer with nothing declared yet."""
    alb = Alb(tmp_path / "balancer")
    try:
        yield alb
    finally:
        alb.end()
