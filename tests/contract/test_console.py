"""Contract of `Console`, kept by Docker's and by the fake one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pipeline.base.errors import StageFailed
from pipeline.engine.cluster_members import hosts_console
from pipeline.engine.console import Console
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host_link import HostLink, OpenLink
from pipeline.engine.host_links import HostLinks
from pipeline.engine.hosts import host_engine, local_console, local_engine
from pipeline.engine.hosts_console import HostsConsole
from pipeline.engine.interfaces import Containers
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_ACCESSORY
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.contract.engines import ssh_hosts
from tests.support.docker_home import cleaned
from tests.support.private_engine import PrivateEngine
from tests.support.sshd import SshServer
from tests.support.waiting import DEADLINE

SLEEP = ("sleep", "600")
FAIL = ("sh", "-c", "echo out; echo err >&2; exit 3")
# The fake writes its output whatever it reads.
READ = ("sh", "-c", "cat >/dev/null; echo read")
REAL = ("docker", "ssh-hosts")
MISSING = ("penstock-no-such-program",)
PROGRAM = Program(commands={FAIL: 3, READ: 0}, outputs={FAIL: (b"out\n", b"err\n"), READ: (b"read\n", b"")})


@dataclass
class ConsoleUnderTest:
    """A console, and the containers that it works in."""

    console: Console
    containers: Containers
    image: str

    def start(self, name: str = "") -> str:
        """Start a container that runs until it is stopped."""
        name = name or f"shop.db.{secrets.token_hex(3)}"
        labels = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_ACCESSORY}
        return self.containers.start(
            ContainerSpec(name=name, image=self.image, labels=labels, command=SLEEP, init=True)
        )

    def run(self, container: str, command: tuple[str, ...], given: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run a command, and return its exit code, its output and its errors."""
        process = self.console.exec(container, command, tty=False)
        try:
            process.write(given)
            process.end_input()
            parts = list(process.output())
            written = (b"".join(data for error, data in parts if error is wanted) for wanted in (False, True))
            return process.wait(), *written
        finally:
            process.close()
            process.close()


@contextmanager
def fake_console() -> Iterator[ConsoleUnderTest]:
    """Yield the console of a fake engine."""
    engine = FakeEngine(program=lambda _: PROGRAM)
    yield ConsoleUnderTest(FakeConsole(engine), engine.containers, engine.images.add("app"))


@contextmanager
def console_of_fake_engines() -> Iterator[ConsoleUnderTest]:
    """Yield the console of two hosts, of which the second one runs the containers."""
    engines = [FakeEngine(program=lambda _: PROGRAM) for _ in range(2)]
    links = [
        HostLink(f"app{number}", lambda engine=engine: OpenLink(FakeConsole(engine), engine.close))
        for number, engine in enumerate(engines)
    ]
    with closing(HostsConsole(HostLinks(links, timedelta(seconds=DEADLINE)))) as console:
        yield ConsoleUnderTest(console, engines[1].containers, engines[1].images.add("app"))


@contextmanager
def docker_console(base_image: str) -> Iterator[ConsoleUnderTest]:
    """Yield the console of Docker."""
    home = secrets.token_hex(8)
    with cleaned(home), local_engine(home) as docker:
        yield ConsoleUnderTest(local_console(home), docker.containers, base_image)


@contextmanager
def ssh_console(base_image: str, server: SshServer, second: PrivateEngine) -> Iterator[ConsoleUnderTest]:
    """Yield the console of two hosts that are reached by SSH, of which the second one runs the containers."""
    home, specs = secrets.token_hex(8), ssh_hosts(second)
    console = hosts_console(specs, home, server.tunnels, server.environment, silence=timedelta(seconds=DEADLINE))
    with closing(console), host_engine(specs[1], home, server.tunnels, server.environment) as engine:
        try:
            yield ConsoleUnderTest(console, engine.containers, base_image)
        finally:
            for each in engine.containers.for_pipeline("shop", ROLE_ACCESSORY):
                engine.containers.remove(each.id)


@pytest.fixture(params=["fake", "hosts-of-fakes", *(pytest.param(n, marks=pytest.mark.docker) for n in REAL)])
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[ConsoleUnderTest]:
    """A console under test."""
    makers = {
        "fake": fake_console,
        "hosts-of-fakes": console_of_fake_engines,
        "docker": lambda: docker_console(base_image),
        "ssh-hosts": lambda: ssh_console(
            base_image, request.getfixturevalue("sshd"), request.getfixturevalue("second_engine")
        ),
    }
    with makers[request.param]() as tested:
        yield tested


def test_a_command_has_its_output_its_errors_and_its_code(tested: ConsoleUnderTest) -> None:
    """Both streams come apart."""
    assert tested.run(tested.start(), FAIL) == (3, b"out\n", b"err\n")


def test_a_command_reads_its_input_to_the_end(tested: ConsoleUnderTest) -> None:
    """Also one that is larger than a connection holds."""
    assert tested.run(tested.start(), READ, b"x" * 3_000_000) == (0, b"read\n", b"")


def test_a_container_that_does_not_run_runs_no_command(tested: ConsoleUnderTest) -> None:
    """Nor one that is gone."""
    container = tested.start()
    tested.containers.kill(container)
    with pytest.raises(StageFailed):
        tested.run(container, READ)
    tested.containers.remove(container)
    with pytest.raises(StageFailed):
        tested.run(container, READ)


def test_a_program_that_is_missing_is_reported(tested: ConsoleUnderTest) -> None:
    """By an error, or by the exit code that a shell has for it."""
    try:
        code, _, _ = tested.run(tested.start(), MISSING)
    except StageFailed:
        return
    assert code in (126, 127)


def test_containers_of_every_role_are_listed(tested: ConsoleUnderTest) -> None:
    """Those of the pipeline only."""
    container = tested.start()
    assert [each.id for each in tested.console.containers("shop")] == [container]
    assert tested.console.containers("other") == []


def test_a_container_is_found_by_its_name_and_its_id(tested: ConsoleUnderTest) -> None:
    """Also one that was never listed. It has its output, and is gone after its removal."""
    name = f"shop.db.{secrets.token_hex(3)}"
    container = tested.start(name)
    assert (tested.console.has(name), tested.console.has(container)) == (True, True)
    assert tested.run(name, FAIL)[0] == 3
    tested.console.remove(name)
    tested.console.remove(name)
    assert (tested.console.has(name), tested.console.has(container)) == (False, False)
    assert tested.console.log(name) is None
    assert tested.console.missing == {}
    tested.console.close()
    tested.console.close()
