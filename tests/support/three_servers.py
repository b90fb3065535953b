"""Servers of a test, each a machine of namespaces with an engine and an SSH server. See `pipeline/testing/machines`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.testing.machines.site import Site, obstacle, site

NAMES = ("app1", "app2", "app3")


@contextmanager
def three_servers(*names: str) -> Iterator[Site]:
    """Run servers, `app1` to `app3` if no others are named. Where it cannot be done the test is skipped; CI fails."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with site(*(names or NAMES), in_memory=True) as made:
        yield made
