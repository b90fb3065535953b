"""The containers of a pipeline as instances of EC2."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.base.home import Home
from pipeline.engine import hosts
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP
from pipeline.machine.instances import containers
from pipeline.testing.fakes.engine import FakeEngine

LABELS = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP}
CLUSTER = ClusterSpec(
    hosts=(
        ClusterHost(HostSpec("app1", "ssh://app1", address="192.0.2.1")),
        ClusterHost(HostSpec("here", LOCAL, address="127.0.0.1")),
    )
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home."""
    return Home.locate({"PENSTOCK_HOME": str(tmp_path)})


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeEngine]:
    """The engines of two hosts, of which the second one is the local engine. Each has a container."""
    made = {name: FakeEngine() for name in ("app1", "here")}
    for name, engine in made.items():
        engine.images.add("app")
        engine.networks.ensure("shop")
        network = engine.networks.name("shop")
        engine.containers.start(ContainerSpec(name=f"on-{name}", image="app", labels=LABELS, network=network))
    monkeypatch.setattr(hosts, "host_engine", lambda spec, *_: made[spec.name])
    monkeypatch.setattr(hosts, "local_engine", lambda *_: made["here"])
    return made


def test_containers_on_hosts_have_the_address_of_their_host(home: Home, engines: dict[str, FakeEngine]) -> None:
    """Those on the local engine have their own, as in a pipeline without hosts."""
    (own,) = engines["here"].containers.for_pipeline("shop")
    found = {each.id: each.address for each in containers(home, lambda: {"shop": CLUSTER}, "shop")}
    assert found == {"on-app1": "192.0.2.1", "on-here": own.address}
    (only,) = containers(home, dict, "shop")
    assert (only.id, only.address) == ("on-here", own.address)


def test_containers_on_a_lost_host_are_left_out(home: Home, engines: dict[str, FakeEngine]) -> None:
    """Without any host, there is no answer."""
    engines["app1"].faults.go_away()
    assert [each.id for each in containers(home, lambda: {"shop": CLUSTER}, "shop")] == ["on-here"]
    engines["here"].faults.go_away()
    with pytest.raises(EngineFault, match=r"^host app1"):
        containers(home, lambda: {"shop": CLUSTER}, "shop")
