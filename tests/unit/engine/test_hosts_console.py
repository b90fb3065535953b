"""The console and the containers of several hosts, while some of them do not answer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import TypeVar

import pytest

from pipeline.base.errors import ConfigError, EngineFault, LockHeld, StageFailed
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host_link import HostLink, OpenLink
from pipeline.engine.host_links import HostLinks
from pipeline.engine.hosts_console import HostsConsole
from pipeline.engine.hosts_containers import HostsContainers
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.support.waiting import DEADLINE, SOON, until

LS = ("ls",)
LABELS = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP}
SECOND = timedelta(seconds=1)
T = TypeVar("T")


class World:
    """Three hosts. No connection can be made to one with a failure."""

    def __init__(self) -> None:
        self.engines = {
            name: FakeEngine(program=lambda _: Program(commands={LS: 0})) for name in ("one", "two", "three")
        }
        for engine in self.engines.values():
            engine.images.add("app")
        self.failures: dict[str, Exception] = {}
        self.opened = Counter[str]()
        self.closed = Counter[str]()
        self.silence = timedelta(seconds=DEADLINE)

    def start(self, host: str, name: str) -> str:
        """Start a container on a host, and return its id."""
        return self.engines[host].containers.start(ContainerSpec(name=name, image="app", labels=LABELS))

    def lose(self, name: str) -> None:
        """Let a host be unreachable."""
        self.failures[name] = EngineFault(f"host {name} (ssh://{name}): no route", hint="look")
        self.engines[name].faults.go_away()

    def bring_back(self, name: str) -> None:
        """Let a host be reachable."""
        del self.failures[name]
        self.engines[name].faults.come_back()

    def console(self) -> HostsConsole:
        """Return the console of the hosts."""
        return HostsConsole(self._links(FakeConsole))

    def containers(self) -> HostsContainers:
        """Return the containers of the hosts."""
        return HostsContainers(self._links(lambda engine: engine))

    def _links(self, make: Callable[[FakeEngine], T]) -> HostLinks[T]:
        return HostLinks([HostLink(name, self._connector(name, make)) for name in self.engines], self.silence)

    def _connector(self, name: str, make: Callable[[FakeEngine], T]) -> Callable[[], OpenLink[T]]:
        def connect() -> OpenLink[T]:
            if name in self.failures:
                raise self.failures[name]
            self.opened[name] += 1
            return OpenLink(make(self.engines[name]), lambda: self.closed.update([name]))

        return connect


@pytest.fixture
def world() -> World:
    """Three hosts."""
    return World()


@pytest.fixture
def console(world: World) -> Iterator[HostsConsole]:
    """Their console, whose connections are all closed in the end."""
    with closing(world.console()) as console:
        yield console
    assert world.closed == world.opened


@pytest.fixture
def containers(world: World) -> Iterator[HostsContainers]:
    """Their containers."""
    with closing(world.containers()) as containers:
        yield containers
    assert world.closed == world.opened


def test_containers_are_listed_with_their_host(world: World, console: HostsConsole) -> None:
    """One connection to each host is enough."""
    world.start("one", "shop.web.r1.a")
    world.start("three", "shop.web.r1.b")
    for _ in range(3):
        assert {each.name: each.host for each in console.containers("shop")} == {
            "shop.web.r1.a": "one",
            "shop.web.r1.b": "three",
        }
    assert world.opened == {"one": 1, "two": 1, "three": 1}


def test_a_lost_host_is_missing_in_a_list(world: World, console: HostsConsole) -> None:
    """The containers of the others are listed. When it is back, so are its own."""
    world.start("one", "shop.web.r1.a")
    world.start("two", "shop.web.r1.b")
    assert len(console.containers("shop")) == 2
    world.lose("two")
    assert [each.name for each in console.containers("shop")] == ["shop.web.r1.a"]
    assert [*console.missing] == ["two"]
    # The connection is made again, which tells why it cannot be made.
    console.containers("shop")
    assert {name: fault.message for name, fault in console.missing.items()} == {"two": "host two (ssh://two): no route"}
    world.bring_back("two")
    assert len(console.containers("shop")) == 2
    assert console.missing == {}


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OSError(28, "No space left on device"), "host two: it cannot be reached from here"),
        (LockHeld("the tunnel is being started"), "host two: the tunnel is being started"),
    ],
)
def test_what_keeps_this_machine_from_a_host(
    world: World, console: HostsConsole, failure: Exception, message: str
) -> None:
    """It counts like a host that does not answer."""
    world.failures["two"] = failure
    console.containers("shop")
    assert console.missing["two"].message.startswith(message)


def test_an_invalid_address_is_an_error_of_the_configuration(world: World, console: HostsConsole) -> None:
    """No host is missing then."""
    world.failures["two"] = ConfigError("host two: ssh:// has no name")
    with pytest.raises(ConfigError, match="has no name"):
        console.containers("shop")


def test_without_any_host_a_list_is_an_error(world: World, console: HostsConsole) -> None:
    """Nobody must take it for a pipeline without containers."""
    for name in world.engines:
        world.lose(name)
    with pytest.raises(EngineFault, match=r"host one \(ssh://one\): no route"):
        console.containers("shop")


def test_a_silent_host_is_missing_after_a_while(world: World) -> None:
    """Later calls do not wait for it, nor do they leave another thread that waits. When it answers, it is back."""
    world.silence = 2 * SECOND
    world.start("two", "shop.web.r1.b")
    hang = world.engines["two"].faults.hang("console.containers")
    with closing(world.console()) as console:
        assert console.containers("shop") == []
        assert console.missing["two"].message == "host two: no answer within 2 s"
        threads = threading.active_count()
        for _ in range(5):
            console.containers("shop")
        assert console.missing["two"].message == "host two: no answer to an earlier call"
        until(lambda: threading.active_count() <= threads, "the end of all threads but those that wait")
        hang.release()
        until(lambda: [each.host for each in console.containers("shop")] == ["two"], "an answer of the host")


def test_a_command_runs_on_the_host_of_its_container(world: World, console: HostsConsole) -> None:
    """Also in a container that was not listed."""
    container = world.start("three", "shop.web.r1.a")
    for name in (container, "shop.web.r1.a"):
        process = console.exec(name, LS, tty=False)
        process.end_input()
        assert (list(process.output()), process.wait()) == ([], 0)
        process.close()
    assert world.engines["three"].faults.calls["console.exec"] == 2


def test_a_command_in_a_container_of_a_lost_host(world: World, console: HostsConsole) -> None:
    """It fails with the name of the host. So does one in a container that may be there."""
    world.start("two", "shop.web.r1.b")
    console.containers("shop")
    world.lose("two")
    with pytest.raises(EngineFault, match=r"^host two"):
        console.exec("shop.web.r1.b", LS, tty=False)
    with pytest.raises(EngineFault, match=r"^host two \(ssh://two\): no route"):
        console.exec("shop.web.r1.c", LS, tty=False)
    with pytest.raises(EngineFault, match=r"^host two \(ssh://two\): no route"):
        console.log("shop.web.r1.c")


def test_a_container_that_no_host_has(console: HostsConsole) -> None:
    """It has no output, and runs no command."""
    assert console.log("shop.web.r1.c") is None
    assert not console.has("shop.web.r1.c")
    console.remove("shop.web.r1.c")
    with pytest.raises(StageFailed, match=r"^No such container: shop\.web\.r1\.c$"):
        console.exec("shop.web.r1.c", LS, tty=False)
    with pytest.raises(StageFailed, match=r"^No such container: shop\.web\.r1\.c$"):
        console.copy("shop.web.r1.c", "shop.web.once.d", LS, tty=False)


def test_a_copy_is_started_beside_its_model(world: World, console: HostsConsole) -> None:
    """The fake engine refuses it, and names it."""
    world.start("two", "shop.web.r1.b")
    with pytest.raises(StageFailed, match=r"shop\.web\.once\.d cannot be started"):
        console.copy("shop.web.r1.b", "shop.web.once.d", LS, tty=False)


def test_containers_of_a_lost_host(world: World, containers: HostsContainers) -> None:
    """They are left out of a list. No call takes them for gone."""
    world.start("one", "shop.web.r1.a")
    two = world.start("two", "shop.web.r1.b")
    assert {each.host for each in containers.for_pipeline("shop")} == {"one", "two"}
    world.lose("two")
    assert [each.host for each in containers.for_pipeline("shop")] == ["one"]
    assert [*containers.missing] == ["two"]
    for call in (
        lambda: containers.find("shop.web.r1.b"),
        lambda: containers.inspect(two),
        lambda: containers.kill(two, "SIGHUP"),
        lambda: containers.remove("shop.web.r1.b"),
        lambda: containers.logs(two),
        lambda: containers.cpu_time(two),
        lambda: containers.cpus(two),
        lambda: containers.exec(two, LS, SECOND, threading.Event()),
    ):
        with pytest.raises(EngineFault, match=r"^host two"):
            call()
    assert containers.find("shop.web.r1.a") is not None


def test_the_processors_are_those_of_the_host_of_a_container(world: World, containers: HostsContainers) -> None:
    """By which its use of them is measured."""
    one, two = world.start("one", "shop.web.r1.a"), world.start("two", "shop.web.r1.b")
    world.engines["two"].containers.processors = 2
    assert containers.cpus("shop.web.r1.c") is None
    containers.for_pipeline("shop")
    assert (containers.cpus(one), containers.cpus(two)) == (8, 2)


def test_a_silent_host_keeps_no_call_waiting(world: World) -> None:
    """A call for a container there fails in time, and later ones at once."""
    two = world.start("two", "shop.web.r1.b")
    with closing(world.containers()) as containers:
        containers.for_pipeline("shop")
    world.silence = 2 * SECOND
    hang = world.engines["two"].faults.hang("containers.cpu_time")
    with closing(world.containers()) as containers:
        containers.for_pipeline("shop")
        with pytest.raises(EngineFault, match=r"^host two: no answer within 2 s$"):
            containers.cpu_time(two)
        with pytest.raises(EngineFault, match=r"^host two: no answer to an earlier call$"):
            containers.cpu_time(two)
        hang.release()


def test_calls_of_many_threads_share_a_connection(world: World, containers: HostsContainers) -> None:
    """Also if the first ones come at the same time."""
    world.start("one", "shop.web.r1.a")
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait(SOON)
        assert containers.find("shop.web.r1.a") is not None

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.opened == {"one": 1, "two": 1, "three": 1}


def test_a_connection_that_comes_after_the_end_is_closed(world: World) -> None:
    """The tunnel of a host must not outlive its user."""
    started, go = threading.Event(), threading.Event()

    def connect() -> OpenLink[str]:
        started.set()
        go.wait(DEADLINE)
        world.opened["one"] += 1
        return OpenLink("engine", lambda: world.closed.update(["one"]))

    link = HostLink("one", connect)
    answer = link.ask(str.upper)
    started.wait(DEADLINE)
    link.close()
    go.set()
    assert answer.result(DEADLINE) == "ENGINE"
    assert world.closed == world.opened == {"one": 1}
