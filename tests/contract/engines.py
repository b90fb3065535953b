"""Engines and runtimes under contract, each with a way to run a program and end it."""

from __future__ import annotations

import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import (
    host_at,
    host_engine,
    local_engine,
    local_host,
    local_swarm,
    reachable_host,
    runtime_on,
)
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, ROLE_TEST
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.reachable_host import OpenHost, ReachableHost
from pipeline.engine.runtime import Replica, ReplicaSpec, Runtime
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.engine.swarm.swarm import SwarmNode
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import PERMISSION_ERROR, PROCESS_ERROR, Program
from pipeline.testing.fakes.runtime import FakeRuntime
from pipeline.testing.fakes.swarm import FakeSwarm
from tests.support.docker_home import cleaned
from tests.support.private_engine import PrivateEngine
from tests.support.sshd import SshServer
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until

NO_SUCH_PROGRAM = ("penstock-no-such-program",)
ENDED = 7
"""The exit code of a process that `end` ends."""
EXIT_3 = ("sh", "-c", "exit 3")
EXIT_0 = ("sh", "-c", "exit 0")
READY = "ready"
SSH_HOST = HostSpec("app1", "ssh://app1", zone="zone-a")
"""The machine of the test, reached through its SSH server."""

# The numbers of the capabilities that programs of the contract need, in the kernel's sets.
_CAPABILITY_BITS = {"CHOWN": 0, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_ADMIN": 21}

_SCRIPT = """
import os, pathlib, signal, sys
on_sigterm, exit_code = {on_sigterm!r}, {exit_code!r}
try:
    for path, data in {files!r}.items():
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_bytes(data)
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN if on_sigterm is None else lambda *_: sys.exit(on_sigterm))
signal.signal(signal.SIGUSR1, lambda *_: sys.exit({ended}))
print(*{lines!r}, sep="\\n", flush=True)
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
if any(not int(status["CapEff"], 16) >> bit & 1 for bit in {needs!r}):
    print({permission_error!r})
    sys.exit(1)
try:
    for _ in range({processes} - 1):
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "600"])
except BlockingIOError:
    print({process_error!r})
    sys.exit(1)
try:
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range({open_files} - 3)]
except OSError as error:
    print(error.strerror)
    sys.exit(1)
while exit_code is None:
    if not {is_busy}:
        signal.pause()
sys.exit(exit_code)
"""


class Programs:
    """The programs of fake containers, by the command of the equivalent real program."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...] | None, Program] = {NO_SUCH_PROGRAM: Program(refusal="executable not found")}

    def command(self, program: Program) -> tuple[str, ...]:
        """Return the command of a program, which prints `ready` after its own lines and has no other commands."""
        full = replace(program, lines=(*program.lines, READY), commands={EXIT_3: 3, EXIT_0: 0})
        script = _SCRIPT.format(
            files=dict(full.files),
            lines=full.lines,
            exit_code=full.exit_code,
            on_sigterm=full.on_sigterm,
            ended=ENDED,
            needs=[_CAPABILITY_BITS[name] for name in full.needs],
            permission_error=PERMISSION_ERROR,
            processes=full.processes,
            process_error=PROCESS_ERROR,
            open_files=full.open_files,
            is_busy=full.cpu > 0,
        )
        command = ("python3", "-c", script)
        self._known[command] = full
        return command

    def of(self, spec: ContainerSpec | ReplicaSpec) -> Program:
        """Return the program that a fake container runs."""
        return self._known[spec.command]


@dataclass
class EngineUnderTest:
    """An engine of a separate home, whose pipeline `shop` has a network.

    `end` ends a process from inside. `add_network` creates a network as another program would, and returns its name,
    which sorts before that of the pipeline's network.
    """

    engine: Engine
    image: str
    programs: Programs
    end: Callable[[str], None]
    add_network: Callable[[], str]

    def spec(self, program: Program = Program(), **more: object) -> ContainerSpec:  # noqa: B008  # a frozen value
        """Return the specification of a container of `shop`."""
        wanted = ContainerSpec(
            name=f"shop.contract.{secrets.token_hex(3)}",
            image=self.image,
            labels={LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP},
            command=self.programs.command(program),
            network=self.engine.networks.name("shop"),
        )
        return replace(wanted, **more)  # type: ignore[arg-type]

    def start(self, program: Program = Program(), **more: object) -> str:  # noqa: B008  # a frozen value
        """Start a container and return its id after it has printed all its lines."""
        container = self.engine.containers.start(self.spec(program, **more))
        until(lambda: READY in self.engine.containers.logs(container), "output of the container")
        return container

    def exited(self, container: str) -> Container:
        """Return a container whose process has exited."""
        found: Container = until(lambda: self._exited(container), "an exit")
        return found

    def _exited(self, container: str) -> Container | None:
        found = self.engine.containers.inspect(container)
        return found if found.state == "exited" else None


@dataclass
class RuntimeUnderTest:
    """A runtime of a separate home, with `shop` prepared. `end` ends a replica's process from inside.

    `publishes`: each replica publishes its port. `zone` is that of a replica whose specification names none.
    `published_at` are the addresses of published ports. `moves`: a replica that is restarted has another port.
    """

    runtime: Runtime
    image: str
    programs: Programs
    end: Callable[[str], None]
    other_home: Runtime
    publishes: bool = False
    zone: str | None = None
    published_at: frozenset[str] = frozenset({"127.0.0.1"})
    moves: bool = False

    def spec(self, program: Program = Program(), **more: object) -> ReplicaSpec:  # noqa: B008  # a frozen value
        """Return the specification of a replica of `shop`."""
        wanted = ReplicaSpec(
            pipeline="shop",
            release=4,
            run=9,
            template="c0ffee",
            image=self.image,
            port=8080,
            name=f"shop.web.r4.{secrets.token_hex(3)}",
            command=self.programs.command(program),
            grace=timedelta(seconds=1.5),
        )
        return replace(wanted, **more)  # type: ignore[arg-type]

    def start(self, program: Program = Program(), **more: object) -> str:  # noqa: B008  # a frozen value
        """Start a replica and return its name when it has printed all its lines."""
        spec = self.spec(program, **more)
        self.runtime.start(spec)
        until(lambda: READY in self.runtime.tail(spec.name), "output of the replica")
        return spec.name

    def find(self, name: str, pipeline: str = "shop") -> Replica | None:
        """Return a replica as the runtime lists it."""
        return next((replica for replica in self.runtime.list(pipeline) if replica.name == name), None)

    def running(self, name: str) -> bool:
        """Return whether a replica runs."""
        found = self.find(name)
        return found is not None and found.running


@contextmanager
def fake_engine() -> Iterator[EngineUnderTest]:
    """Yield a fake engine."""
    programs = Programs()
    engine = FakeEngine(program=programs.of)
    engine.networks.ensure("shop")

    def add_network() -> str:
        name = f"a-{secrets.token_hex(4)}"
        engine.networks.add(name)
        return name

    yield EngineUnderTest(
        engine,
        engine.images.add("app"),
        programs,
        end=lambda name: engine.containers.exit(name, ENDED),
        add_network=add_network,
    )


@contextmanager
def docker_engine(base_image: str) -> Iterator[EngineUnderTest]:
    """Yield the Docker Engine, and remove everything of the test's home afterwards."""
    home = secrets.token_hex(8)
    with local_engine(home) as engine, _docker_under_test(home, engine, base_image) as tested:
        yield tested


@contextmanager
def ssh_engine(base_image: str, server: SshServer) -> Iterator[EngineUnderTest]:
    """Yield the Docker Engine, reached by SSH, and remove everything of the test's home afterwards."""
    home = secrets.token_hex(8)
    with (
        host_engine(SSH_HOST, home, server.tunnels, server.environment) as engine,
        _docker_under_test(home, engine, base_image) as tested,
    ):
        yield tested


@contextmanager
def _docker_under_test(home: str, engine: Engine, base_image: str) -> Iterator[EngineUnderTest]:
    with cleaned(home):
        engine.networks.ensure("shop")
        yield EngineUnderTest(
            engine,
            engine.images.id(base_image) or base_image,
            Programs(),
            end=lambda name: _signal(engine, name),
            add_network=lambda: _network(home),
        )


@contextmanager
def fake_runtime() -> Iterator[RuntimeUnderTest]:
    """Yield a fake runtime."""
    programs = Programs()
    runtime = FakeRuntime(program=programs.of)
    runtime.missing_images.add("none")
    runtime.prepare("shop")
    yield RuntimeUnderTest(runtime, "app", programs, lambda name: runtime.exit(name, ENDED), FakeRuntime())


@contextmanager
def docker_runtime_on_fake_engine() -> Iterator[RuntimeUnderTest]:
    """Yield Docker's runtime on a fake engine."""
    with fake_engine() as fake:
        runtime = runtime_on(local_host(fake.engine))
        other = FakeEngine(home="fedcba9876543210")
        yield RuntimeUnderTest(runtime, fake.image, fake.programs, fake.end, runtime_on(local_host(other)))


@contextmanager
def hosts_of_fake_engines() -> Iterator[RuntimeUnderTest]:
    """Yield the runtime of two hosts with fake engines, in the same zone."""
    programs = Programs()
    own, others = ([FakeEngine(home=home * 8, program=programs.of) for _ in range(2)] for home in ("01", "fe"))
    images = {engine.images.add("app") for engine in (*own, *others)}

    def end(name: str) -> None:
        (engine,) = (each for each in own if each.containers.find(name))
        engine.containers.exit(name, ENDED)

    with closing(_hosts_runtime(own)) as runtime, closing(_hosts_runtime(others)) as other_home:
        runtime.prepare("shop")
        patient = PatientRuntime(runtime)
        yield RuntimeUnderTest(patient, images.pop(), programs, end, other_home, publishes=True, zone="zone-a")


def _hosts_runtime(engines: Sequence[Engine]) -> HostsRuntime:
    hosts = []
    for number, engine in enumerate(engines):
        spec = HostSpec(f"host{number}", f"ssh://host{number}", zone="zone-a")
        opened = OpenHost(runtime_on(host_at(spec, engine)), engine, engine.close)
        hosts.append(ReachableHost(spec.name, spec.zone, lambda opened=opened: opened))
    return HostsRuntime(hosts, silence=timedelta(seconds=DEADLINE))


@contextmanager
def docker_runtime(base_image: str) -> Iterator[RuntimeUnderTest]:
    """Yield Docker's runtime on the Docker Engine."""
    with docker_engine(base_image) as docker, local_engine(secrets.token_hex(8)) as other:
        runtime = runtime_on(local_host(docker.engine))
        yield RuntimeUnderTest(runtime, docker.image, docker.programs, docker.end, runtime_on(local_host(other)))


@contextmanager
def ssh_runtime(base_image: str, server: SshServer) -> Iterator[RuntimeUnderTest]:
    """Yield Docker's runtime on a host that is reached by SSH, where each replica publishes its port."""
    with (
        ssh_engine(base_image, server) as docker,
        host_engine(SSH_HOST, secrets.token_hex(8), server.tunnels, server.environment) as other,
    ):
        runtime, other_home = (runtime_on(host_at(SSH_HOST, engine)) for engine in (docker.engine, other))
        yield RuntimeUnderTest(runtime, docker.image, docker.programs, docker.end, other_home, publishes=True)


def ssh_hosts(second: PrivateEngine) -> tuple[HostSpec, HostSpec]:
    """Return two hosts that are reached by SSH: this machine, and one with the engine `second`."""
    return SSH_HOST, replace(SSH_HOST, name="app2", docker=f"ssh://app2{second.socket}")


@contextmanager
def ssh_hosts_runtime(base_image: str, server: SshServer, second: PrivateEngine) -> Iterator[RuntimeUnderTest]:
    """Yield the runtime of two hosts that are reached by SSH: this machine, and one with the engine `second`."""
    home, other, specs = secrets.token_hex(8), secrets.token_hex(8), ssh_hosts(second)

    def runtime_of(home: str) -> HostsRuntime:
        hosts = [reachable_host(spec, home, server.tunnels, server.environment) for spec in specs]
        return HostsRuntime(hosts, silence=timedelta(seconds=DEADLINE))

    with ExitStack() as stack:
        stack.enter_context(cleaned(home))
        runtime, other_home = (stack.enter_context(closing(runtime_of(each))) for each in (home, other))
        engines = [stack.enter_context(host_engine(each, home, server.tunnels, server.environment)) for each in specs]
        stack.callback(lambda: remove_all(engines[1]))

        def end(name: str) -> None:
            (engine,) = (each for each in engines if each.containers.find(name))
            _signal(engine, name)

        runtime.prepare("shop")
        other_home.connect()
        image = engines[0].images.id(base_image) or base_image
        patient = PatientRuntime(runtime)
        yield RuntimeUnderTest(patient, image, Programs(), end, other_home, publishes=True, zone="zone-a")


@contextmanager
def swarm_runtime_on_fake_swarm() -> Iterator[RuntimeUnderTest]:
    """Yield the runtime of a Swarm on a fake one of two nodes, in the same zone."""
    programs = Programs()
    labels = {"zone": "zone-a"}
    nodes = [SwarmNode(f"n{number}", f"node{number}", "10.0.0.1", labels=labels) for number in (1, 2)]
    swarm = FakeSwarm(*nodes, program=programs.of)
    swarm.missing_images.add("none")
    yield RuntimeUnderTest(
        SwarmRuntime(swarm),
        "app",
        programs,
        lambda name: swarm.exit(name, ENDED),
        SwarmRuntime(FakeSwarm()),
        publishes=True,
        zone="zone-a",
        published_at=frozenset({"10.0.0.1"}),
        moves=True,
    )


@contextmanager
def swarm_runtime(base_image: str, nodes: Mapping[str, str]) -> Iterator[RuntimeUnderTest]:
    """Yield the runtime of a Swarm whose nodes are in one zone. Its services are removed afterwards.

    `nodes` are the addresses of the nodes with those of their engines. The first one is a manager.
    """
    home, other = secrets.token_hex(8), secrets.token_hex(8)
    environments = {address: {"DOCKER_HOST": engine} for address, engine in nodes.items()}
    first = next(iter(environments.values()))
    with ExitStack() as stack:
        engines = {
            address: stack.enter_context(local_engine(home, environment))
            for address, environment in environments.items()
        }
        swarm = stack.enter_context(closing(local_swarm(home, first)))
        other_swarm = stack.enter_context(closing(local_swarm(other, first)))
        manager = next(iter(engines.values()))
        runtime = SwarmRuntime(swarm, manager.images.healthcheck)

        def end(name: str) -> None:
            service = swarm.find(name)
            assert service is not None
            task = next(task for task in reversed(swarm.tasks_of(service.id)) if task.container)
            address = next(node.address for node in swarm.nodes() if node.id == task.node)
            command = ("sh", "-c", "kill -USR1 1")
            engines[address].containers.exec(task.container, command, timedelta(seconds=10), threading.Event())

        try:
            yield RuntimeUnderTest(
                runtime,
                manager.images.id(base_image) or base_image,
                Programs(),
                end,
                SwarmRuntime(other_swarm),
                publishes=True,
                zone="zone-a",
                published_at=frozenset(nodes),
                moves=True,
            )
        finally:
            for replica in runtime.list("shop"):
                runtime.remove(replica.name)
            runtime.clear("shop")


def remove_all(engine: Engine) -> None:
    """Remove the containers and the network of `shop`."""
    for container in engine.containers.for_pipeline("shop"):
        engine.containers.remove(container.id)
    engine.networks.remove("shop")


def _network(home: str) -> str:
    """Create a network that is removed with the home, but that is none of a pipeline."""
    name = f"a-{secrets.token_hex(4)}"
    labels = [f"--label=penstock.home={home}", f"--label=penstock.role={ROLE_TEST}"]
    subprocess.run(
        ["docker", "network", "create", *labels, name], capture_output=True, check=True, timeout=COMMAND_TIMEOUT
    )
    return name


def _signal(engine: Engine, name: str) -> None:
    """End a process from inside, because the engine never restarts one that it signalled itself."""
    container = engine.containers.find(name) or engine.containers.inspect(name)
    engine.containers.exec(container.id, ("sh", "-c", "kill -USR1 1"), timedelta(seconds=10), threading.Event())
