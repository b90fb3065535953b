"""A shop with two hosts, in this process and without engines, for the page that the other shop has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.browser.world import NAME
from tests.support.web import WebServer, web_server

HOSTS = ("app1", "app2")


@contextmanager
def host_shop(folder: Path) -> Iterator[WebServer]:
    """Serve the shop."""

    def open_fake(cluster: ClusterSpec, *_: object, **__: object) -> OpenCluster:
        engines: dict[str, Engine] = {name: FakeEngine() for name in HOSTS}
        return OpenCluster(cluster, FakeRuntime(), lambda: engines)

    hosts = tuple(ClusterHost(HostSpec(name, f"ssh://{name}", "a", "10.0.0.1")) for name in HOSTS)
    with pytest.MonkeyPatch.context() as patch, web_server(folder) as server:
        patch.setattr("pipeline.engine.clusters.open_cluster", open_fake)
        row = server.store.deployments.begin(NAME, 1, 1, 1, cluster=ClusterSpec(hosts=hosts))
        server.store.deployments.finish(row, DeploymentState.SUCCEEDED)
        server.store.clusters.forget(NAME, "local")
        yield server
