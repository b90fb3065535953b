"""Contract of `EngineEvents`, kept by the fake and by Docker's."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from queue import Queue

import pytest

from pipeline.engine.container import ContainerSpec, HealthProbe
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_engine, host_events
from pipeline.engine.interfaces import EngineEvents, ReplicaChange
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, ROLE_TEST
from pipeline.testing.fakes.engine_events import FakeEngineEvents
from tests.contract.engines import SSH_HOST
from tests.support.docker_home import cleaned
from tests.support.sshd import SshServer
from tests.support.waiting import DEADLINE, until


@dataclass
class EventsUnderTest:
    """Events of a separate home.

    `change` starts a container of a pipeline, with a role, which exits with code 3 on its own. `sicken` starts one that
    keeps running and becomes unhealthy.
    """

    events: EngineEvents
    change: Callable[[str, str], None]
    sicken: Callable[[str], None]
    got: Queue[ReplicaChange | None] = field(default_factory=Queue)

    def follow(self) -> threading.Thread:
        """Follow the events in a thread, until it is interrupted."""
        thread = threading.Thread(target=lambda: [self.got.put(event) for event in self.events.follow()])
        thread.start()
        return thread


@contextmanager
def fake() -> Iterator[EventsUnderTest]:
    events = FakeEngineEvents()

    def change(pipeline: str, role: str) -> None:
        if role == ROLE_APP:
            events.report(ReplicaChange(pipeline, f"{pipeline}.1"))
            events.report(ReplicaChange(pipeline, f"{pipeline}.1", exit_code=3))

    def sicken(pipeline: str) -> None:
        for _ in ("start", "health"):
            events.report(ReplicaChange(pipeline, f"{pipeline}.1"))

    yield EventsUnderTest(events, change, sicken)


@contextmanager
def docker(base_image: str, spec: HostSpec, tunnels: Path, environment: Mapping[str, str]) -> Iterator[EventsUnderTest]:
    home = secrets.token_hex(8)
    with cleaned(home), host_engine(spec, home, tunnels, environment) as engine:
        engine.networks.ensure("shop")

        def change(pipeline: str, role: str) -> None:
            labels = {LABEL_PIPELINE: pipeline, LABEL_ROLE: role}
            name = f"{pipeline}.events.{secrets.token_hex(3)}"
            network = engine.networks.name("shop")
            engine.containers.start(ContainerSpec(name, base_image, labels, ("sh", "-c", "exit 3"), network=network))

        def sicken(pipeline: str) -> None:
            probe = HealthProbe(("false",), timedelta(milliseconds=200), timedelta(seconds=20), threshold=1)
            labels, name = {LABEL_PIPELINE: pipeline, LABEL_ROLE: ROLE_APP}, f"{pipeline}.{secrets.token_hex(3)}"
            network = engine.networks.name("shop")
            engine.containers.start(
                ContainerSpec(name, base_image, labels, ("sleep", "600"), init=True, network=network, probe=probe)
            )

        yield EventsUnderTest(host_events(spec, home, tunnels, environment), change, sicken)


@contextmanager
def over_ssh(base_image: str, server: SshServer) -> Iterator[EventsUnderTest]:
    with docker(base_image, SSH_HOST, server.tunnels, server.environment) as tested:
        yield tested


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.docker) for name in ("docker", "ssh"))])
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[EventsUnderTest]:
    """Events that are followed."""
    makers = {
        "fake": fake,
        "docker": lambda: docker(base_image, HostSpec("here"), Path(), os.environ),
        "ssh": lambda: over_ssh(base_image, request.getfixturevalue("sshd")),
    }
    with makers[request.param]() as tested:
        thread = tested.follow()
        try:
            assert tested.got.get(timeout=DEADLINE) is None
            yield tested
        finally:
            tested.events.interrupt()
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_changes_of_replicas_are_reported(tested: EventsUnderTest) -> None:
    """With their pipeline. Containers of tests are not."""
    # The first events of a connection may be missed.
    tested.change("shop", ROLE_TEST)
    tested.change("shop", ROLE_TEST)
    tested.change("blog", ROLE_APP)
    changes = [tested.got.get(timeout=DEADLINE) for _ in range(2)]
    assert [change and (change.pipeline, change.exit_code) for change in changes] == [("blog", None), ("blog", 3)]
    tested.change("shop", ROLE_APP)
    assert next(change for change in iter(tested.got.get, None) if change.pipeline != "blog").pipeline == "shop"


def test_a_change_of_health_is_reported(tested: EventsUnderTest) -> None:
    """After the start, as a change without an exit."""
    tested.sicken("shop")
    changes = [tested.got.get(timeout=DEADLINE) for _ in range(2)]
    assert [change and (change.pipeline, change.exit_code) for change in changes] == [("shop", None)] * 2


def test_it_answers_while_it_is_followed(tested: EventsUnderTest) -> None:
    """And not after it was interrupted, which may be repeated."""
    assert tested.events.answers()
    tested.events.interrupt()
    tested.events.interrupt()
    until(lambda: not tested.events.answers(), "the end")


def test_an_interrupted_follower_can_follow_again(tested: EventsUnderTest) -> None:
    """With a new connection."""
    tested.events.interrupt()
    until(lambda: not tested.events.answers(), "the end")
    thread = tested.follow()
    assert tested.got.get(timeout=DEADLINE) is None
    tested.events.interrupt()
    thread.join(DEADLINE)
    assert not thread.is_alive()
