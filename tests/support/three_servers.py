"""Servers of a test, each a machine of namespaces with an engine and an SSH server. See `pipeline/testing/machines`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.testing.machines.server import Server
from pipeline.testing.machines.site import Site, obstacle, site
from tests.support.engine_disk import put_image

NAMES = ("app1", "app2", "app3")


@contextmanager
def three_servers(*names: str, image: str = "") -> Iterator[Site]:
    """Run servers, `app1` to `app3` if no others are named, all with an image if one is given.

    Where it cannot be done the test is skipped; CI fails.
    """
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)

    def prepare(server: Server) -> None:
        if image:
            put_image(image, server.engine.data)

    with site(*(names or NAMES), in_memory=True, prepare=prepare) as made:
        yield made
