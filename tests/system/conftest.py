"""Balancers for tests with a real HAProxy or with the rules of the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backend import Backend
from tests.support.namespace import obstacle
from tests.system.account import Account, open_account
from tests.system.alb import Alb
from tests.system.bench import OWNER, Bench
from tests.system.flow_lab import FlowLab


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
def account(tmp_path: Path) -> Iterator[Account]:
    """One owner's clients of the AWS APIs of a home."""
    with open_account(tmp_path) as account:
        yield account


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    """Three servers that answer with their names."""
    servers = [Backend(name) for name in ("one", "two", "three")]
    yield servers
    for server in servers:
        server.end()


@pytest.fixture
def alb(tmp_path: Path) -> Iterator[Alb]:
    """A load balancer with nothing declared yet."""
    alb = Alb(tmp_path / "balancer")
    try:
        yield alb
    finally:
        alb.end()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[FlowLab]:
    """A client, a balancer and four servers, without rules."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    lab = FlowLab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()
