"""Contract of `ExistingContainers`, kept by the containers of one engine and of several hosts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.cluster_members import hosts_containers
from pipeline.engine.host_link import HostLink, OpenLink
from pipeline.engine.host_links import HostLinks
from pipeline.engine.hosts import host_engine
from pipeline.engine.hosts_containers import HostsContainers
from pipeline.engine.interfaces import Engine, ExistingContainers
from pipeline.engine.labels import ROLE_APP, ROLE_TEST
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.contract.engines import (
    EXIT_3,
    EngineUnderTest,
    Programs,
    docker_engine,
    fake_engine,
    remove_all,
    ssh_hosts,
)
from tests.support.private_engine import PrivateEngine
from tests.support.sshd import SshServer
from tests.support.waiting import DEADLINE, until

REAL = ("docker", "ssh-hosts")
SECOND = timedelta(seconds=1)


@dataclass
class ContainersUnderTest:
    """Containers under test, and the engine that starts them."""

    containers: ExistingContainers
    started_by: EngineUnderTest


@contextmanager
def on_fake_engine() -> Iterator[ContainersUnderTest]:
    """Yield the containers of one engine."""
    with fake_engine() as fake:
        yield ContainersUnderTest(fake.engine.containers, fake)


@contextmanager
def on_hosts_of_fakes() -> Iterator[ContainersUnderTest]:
    """Yield the containers of two hosts, of which the second one starts them."""
    with fake_engine() as fake:
        engines: dict[str, Engine] = {"app1": FakeEngine(), "app2": fake.engine}
        links = [
            HostLink(name, lambda engine=engine: OpenLink(engine, engine.close)) for name, engine in engines.items()
        ]
        with closing(HostsContainers(HostLinks(links, timedelta(seconds=DEADLINE)))) as containers:
            yield ContainersUnderTest(containers, fake)


@contextmanager
def on_docker(base_image: str) -> Iterator[ContainersUnderTest]:
    """Yield the containers of Docker."""
    with docker_engine(base_image) as docker:
        yield ContainersUnderTest(docker.engine.containers, docker)


@contextmanager
def on_ssh_hosts(base_image: str, server: SshServer, second: PrivateEngine) -> Iterator[ContainersUnderTest]:
    """Yield the containers of two hosts that are reached by SSH, of which the second one starts them."""
    home, specs = secrets.token_hex(8), ssh_hosts(second)
    found = hosts_containers(specs, home, server.tunnels, server.environment, silence=timedelta(seconds=DEADLINE))
    with closing(found), host_engine(specs[1], home, server.tunnels, server.environment) as engine:
        engine.networks.ensure("shop")
        image = engine.images.id(base_image) or base_image
        starter = EngineUnderTest(engine, image, Programs(), end=lambda _: None, add_network=lambda: "")
        try:
            yield ContainersUnderTest(found, starter)
        finally:
            remove_all(engine)


@pytest.fixture(
    params=[
        "fake",
        "hosts-of-fakes",
        *(pytest.param(name, marks=pytest.mark.docker) for name in ("docker", "ssh-hosts")),
    ]
)
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[ContainersUnderTest]:
    """Containers under test."""
    makers = {
        "fake": on_fake_engine,
        "hosts-of-fakes": on_hosts_of_fakes,
        "docker": lambda: on_docker(base_image),
        "ssh-hosts": lambda: on_ssh_hosts(
            base_image, request.getfixturevalue("sshd"), request.getfixturevalue("second_engine")
        ),
    }
    with makers[request.param]() as tested:
        yield tested


def test_containers_are_listed_by_their_role(tested: ContainersUnderTest) -> None:
    """Those of the pipeline only, with every host that answered."""
    container = tested.started_by.start()
    (listed,) = tested.containers.for_pipeline("shop", ROLE_APP)
    assert (listed.id, listed.state) == (container, "running")
    assert tested.containers.for_pipeline("shop", ROLE_TEST) == []
    assert tested.containers.for_pipeline("other") == []
    assert tested.containers.missing == {}


def test_a_container_is_found_by_its_name(tested: ContainersUnderTest) -> None:
    """And inspected by its id, also before it was listed."""
    spec = tested.started_by.spec()
    container = tested.started_by.engine.containers.start(spec)
    found = tested.containers.find(spec.name)
    assert found is not None
    assert found.id == container
    assert tested.containers.inspect(spec.name).process_started_at is not None
    assert tested.containers.find("shop.none") is None
    with pytest.raises(EngineFault, match="No such container"):
        tested.containers.inspect("shop.none")


def test_commands_run_in_a_container(tested: ContainersUnderTest) -> None:
    """With their exit code. Its lines are those that it has written."""
    container = tested.started_by.start(Program(lines=("one", "two")))
    name = tested.containers.for_pipeline("shop")[0].name
    never, minute = threading.Event(), timedelta(minutes=1)
    assert tested.containers.exec(name, EXIT_3, minute, never) == 3
    assert tested.containers.logs(container, 3)[:2] == ("one", "two")
    time = tested.containers.cpu_time(tested.containers.for_pipeline("shop")[0].id)
    assert time is not None
    assert time.seconds >= 0
    assert tested.containers.cpus(container) == tested.started_by.engine.cpus


def test_a_container_that_is_killed_and_removed_is_gone(tested: ContainersUnderTest) -> None:
    """Calls for it do nothing then."""
    spec = tested.started_by.spec()
    tested.started_by.engine.containers.start(spec)
    tested.containers.kill(spec.name)
    until(lambda: not tested.containers.inspect(spec.name).is_running, "the end of the container")
    assert tested.containers.cpu_time(spec.name) is None
    assert tested.containers.exec(spec.name, EXIT_3, SECOND, threading.Event()) is None
    for _ in range(2):
        tested.containers.remove(spec.name)
    tested.containers.kill(spec.name)
    assert tested.containers.find(spec.name) is None
    assert tested.containers.logs(spec.name) == ()
