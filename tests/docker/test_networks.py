"""Networks with chosen addresses, created by many processes at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import pytest

from pipeline.engine.hosts import local_engine

pytestmark = pytest.mark.docker


def test_pipelines_that_start_at_once_get_networks_of_their_own() -> None:
    """Networks that are created at the same time do not overlap, and the next command finds the same one."""
    homes = [f"network-test-{number}" for number in range(4)]

    def made(home: str) -> IPv4Network:
        with local_engine(home[::-1]) as engine:
            return engine.networks.ensure("shop")

    try:
        with ThreadPoolExecutor(4) as pool:
            networks = list(pool.map(made, homes))
        assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)
        assert [made(home) for home in homes] == networks
    finally:
        for home in homes:
            with local_engine(home[::-1]) as engine:
                engine.networks.remove("shop")
