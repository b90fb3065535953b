"""Two hosts that are reached by SSH, each with an engine of its own."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.builder import BuildSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_engine, local_engine, reachable_host
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.image_transfer import ImageTransfer, TransferProgress
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE
from pipeline.engine.reachable_host import HostChange
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from tests.support.docker_home import cleaned
from tests.support.private_engine import PrivateEngine, obstacle, other_engine
from tests.support.sshd import SshServer, ssh_server
from tests.support.waiting import DEADLINE, until

pytestmark = pytest.mark.docker


@dataclass
class World:
    """The engine of this machine as host `near`, and another one as host `far`, both behind the same SSH server."""

    home: str
    server: SshServer
    far: PrivateEngine
    changes: list[HostChange] = field(default_factory=list)

    @property
    def specs(self) -> tuple[HostSpec, HostSpec]:
        """The hosts, in different zones."""
        return (
            HostSpec("near", "ssh://app1", zone="a"),
            HostSpec("far", f"ssh://app2{self.far.socket}", zone="b", address=self.far.host),
        )

    def runtime(self) -> HostsRuntime:
        """Return a runtime of both, which loses a host after a second."""
        return HostsRuntime(
            [
                reachable_host(
                    spec,
                    self.home,
                    self.server.tunnels,
                    self.server.environment,
                    on_change=self.changes.append,
                    lost_after=timedelta(seconds=1),
                )
                for spec in self.specs
            ],
            silence=timedelta(seconds=DEADLINE),
        )

    def engine(self, number: int) -> Engine:
        """Connect to the engine of a host."""
        return host_engine(self.specs[number], self.home, self.server.tunnels, self.server.environment)


@pytest.fixture
def world(base_image: str, tmp_path: Path) -> Iterator[World]:
    """Hosts without replicas. Both have the base image."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    home = secrets.token_hex(8)
    with cleaned(home), other_engine(base_image) as far, ssh_server(tmp_path) as server:
        yield World(home, server, far)


def places(runtime: HostsRuntime) -> dict[str, str]:
    """Return the host of each replica, or nothing while a host does not answer."""
    try:
        return {replica.name: replica.host for replica in runtime.list("shop")}
    except EngineFault:
        return {}


def test_an_image_is_sent_and_a_lost_host_comes_back(world: World, base_image: str, tmp_path: Path) -> None:
    """A small change is sent as such. Replicas of a lost host are not listed, and are again when it is back."""
    with ExitStack() as stack:
        home = stack.enter_context(local_engine(world.home))
        targets = {spec.name: stack.enter_context(world.engine(number)) for number, spec in enumerate(world.specs)}
        image, sent = _built_and_sent(world, home, targets, base_image, tmp_path)
        # This machine has it already.
        assert sent["near"] == 0
        assert 0 < sent["far"] < home.images.size(image) / 100
        runtime = stack.enter_context(closing(world.runtime()))
        runtime.prepare("shop")
        for number in range(4):
            spec = ReplicaSpec(
                "shop", 1, 1, "first", image, 8080, f"shop.{number}", command=("sleep", "600"), init=True
            )
            runtime.start(spec)
            runtime.set_restart_policy(spec.name, RestartPolicy.ALWAYS)
        all_places = {"shop.0": "near", "shop.1": "far", "shop.2": "near", "shop.3": "far"}
        assert places(runtime) == all_places
        assert {replica.address for replica in runtime.list("shop")} == {"127.0.0.1", world.far.host}
        world.far.cut_power()
        until(lambda: places(runtime) == {"shop.0": "near", "shop.2": "near"}, "the loss of the host")
        assert [(change.host, change.is_lost) for change in world.changes] == [("far", True)]
        assert world.changes[0].reason.startswith(f"host far (ssh://app2{world.far.socket}): ")
        world.far.start()
        until(lambda: places(runtime) == all_places, "the replicas of the host")
        assert [(change.host, change.is_lost) for change in world.changes] == [("far", True), ("far", False)]
        runtime.remove("shop.1")
        assert places(runtime).keys() == {"shop.0", "shop.2", "shop.3"}


def _built_and_sent(
    world: World, home: Engine, targets: dict[str, Engine], base_image: str, folder: Path
) -> tuple[str, dict[str, int]]:
    """Build an image with one small layer of its own and send it. Return its id and the bytes sent to each host."""
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {base_image}\nCOPY Dockerfile /\n")
    tag, cancelled, timeout = f"penstock/{world.home}/shop:1", threading.Event(), timedelta(seconds=DEADLINE)
    build = BuildSpec(context, "Dockerfile", tag, labels={LABEL_PIPELINE: "shop"})
    image = home.builder.build(build, lambda _: None, cancelled, timeout)
    progress: list[TransferProgress] = []
    slower: list[str] = []
    sent = ImageTransfer(home, folder, progress.append, cancelled, timeout, slower.append).send(image, tag, targets)
    assert slower == []
    # Only its tag of the build is left.
    assert home.images.registry_names(image) == ()
    assert progress == [TransferProgress("far", sent["far"], sent["far"])]
    assert {engine.images.id(tag) for engine in targets.values()} == {image}
    return image, sent
