"""An engine that accepts each request and does not answer: every call ends in time, and says what was not answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.container import ContainerSpec
from pipeline.engine.docker.console import DockerConsole
from pipeline.engine.docker.engine import DockerEngine
from pipeline.engine.docker.events import DockerEvents
from pipeline.engine.docker.swarm import DockerSwarm
from pipeline.engine.interfaces import Containers, Images, Networks
from pipeline.engine.long_call import long_call
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.engine.swarm.swarm import Availability, Swarm, SwarmServiceSpec, SwarmTask, TaskState
from tests.support.waiting import SOON, until
from tests.unit.engine.silent_engine import SilentEngine, silent_engine

HOME = "0123456789abcdef"
LIMIT = 0.1
ID = "a" * 64
NEVER = threading.Event()
SECOND = timedelta(seconds=1)
TASK = SwarmTask("t", "s", datetime.now(UTC), datetime.now(UTC), TaskState.RUNNING)
SERVICE = SwarmServiceSpec(
    "s", {}, ReplicaSpec("shop", 1, 1, "c0ffee", "app", 8080, "shop.web.1"), (), RestartPolicy.ALWAYS
)
SPEC = ContainerSpec("shop.web.1", "image", {}, network="shop")

CONTAINERS: dict[str, tuple[Callable[[DockerEngine], object], str]] = {
    "for_pipeline": (lambda engine: engine.containers.for_pipeline("shop"), "GET /containers/json"),
    "find": (lambda engine: engine.containers.find("shop.web.1"), "GET /containers/json"),
    "inspect": (lambda engine: engine.containers.inspect(ID), "GET /containers/aaaaaaaaaaaa/json"),
    "kill": (lambda engine: engine.containers.kill(ID), "POST /containers/aaaaaaaaaaaa/kill"),
    "remove": (lambda engine: engine.containers.remove(ID), "DELETE /containers/aaaaaaaaaaaa"),
    "logs": (lambda engine: engine.containers.logs(ID), "GET /containers/aaaaaaaaaaaa/logs"),
    "exec": (lambda engine: engine.containers.exec(ID, ["true"], SECOND, NEVER), "POST /containers/aaaaaaaaaaaa/exec"),
    "cpu_time": (lambda engine: engine.containers.cpu_time(ID), "GET /containers/aaaaaaaaaaaa/stats"),
    "cpus": (lambda engine: engine.containers.cpus(ID), "GET /info"),
    "start": (lambda engine: engine.containers.start(SPEC), "POST /containers/create"),
    "start_again": (lambda engine: engine.containers.start_again(ID), "POST /containers/aaaaaaaaaaaa/start"),
    "set_restart_policy": (
        lambda engine: engine.containers.set_restart_policy(ID, "always"),
        "POST /containers/aaaaaaaaaaaa/update",
    ),
    "stop": (lambda engine: engine.containers.stop(ID, timedelta()), "POST /containers/aaaaaaaaaaaa/stop"),
    "stream": (lambda engine: list(engine.containers.stream(ID)), "GET /containers/aaaaaaaaaaaa/logs"),
    "tar": (lambda engine: list(engine.containers.tar(ID, "/f")), "GET /containers/aaaaaaaaaaaa/archive"),
    "changed_paths": (lambda engine: engine.containers.changed_paths(ID), "GET /containers/aaaaaaaaaaaa/changes"),
    "remove_leftovers": (lambda engine: engine.containers.remove_leftovers("shop"), "GET /containers/json"),
}
IMAGES: dict[str, tuple[Callable[[DockerEngine], object], str]] = {
    "id": (lambda engine: engine.images.id("image"), "GET /images/image/json"),
    "size": (lambda engine: engine.images.size("image"), "GET /images/image/json"),
    "tag": (lambda engine: engine.images.tag("image", "penstock/shop:1"), "POST /images/image/tag"),
    "untag": (lambda engine: engine.images.untag("penstock/shop:1"), "DELETE /images/penstock/shop:1"),
    "has_name": (lambda engine: engine.images.has_name("image"), "GET /images/image/json"),
    "healthcheck": (lambda engine: engine.images.healthcheck("image"), "GET /images/image/json"),
    "registry_names": (lambda engine: engine.images.registry_names("image"), "GET /images/image/json"),
    "for_pipeline": (lambda engine: engine.images.for_pipeline("shop"), "GET /images/json"),
    "ids": (lambda engine: engine.images.ids(), "GET /images/json"),
    "layers": (lambda engine: engine.images.layers("image"), "GET /images/image/json"),
    "remove": (lambda engine: engine.images.remove("image"), "GET /images/image/json"),
}
NETWORKS: dict[str, tuple[Callable[[DockerEngine], object], str]] = {
    "ensure": (lambda engine: engine.networks.ensure("shop"), "GET /networks"),
    "remove": (lambda engine: engine.networks.remove("shop"), "DELETE /networks/penstock-012345-shop"),
    "free_address": (lambda engine: engine.networks.free_address("shop"), "GET /networks"),
    "has": (lambda engine: engine.networks.has("shop"), "GET /networks"),
    "distant_address": (lambda engine: engine.networks.distant_address("shop"), "GET /networks"),
    "create_private": (lambda engine: engine.networks.create_private("shop", 1), "POST /networks/create"),
    "private": (lambda engine: engine.networks.private("shop"), "GET /networks"),
    "remove_private": (lambda engine: engine.networks.remove_private("n"), "DELETE /networks/n"),
}
ENGINE: dict[str, tuple[Callable[[DockerEngine], object], str]] = {
    "cpus": (lambda engine: engine.cpus, "GET /info"),
    "log_drivers": (lambda engine: engine.log_drivers, "GET /info"),
    "describe": (lambda engine: engine.describe(), "GET /info"),
}
CALLS = {
    f"{kind}.{name}": call
    for kind, calls in (
        ("containers", CONTAINERS),
        ("images", IMAGES),
        ("networks", NETWORKS),
        ("engine", ENGINE),
    )
    for name, call in calls.items()
    # The output of a container may be silent for ever once it has begun.
    if name != "stream"
}
TRANSFERS: dict[str, Callable[[Images], object]] = {
    "pull": lambda images: images.pull("image:1"),
    "push": lambda images: images.push("image:1"),
    "save": lambda images: list(images.save("image")),
    "load": lambda images: images.load(iter([b"archive"])),
}
SWARM: dict[str, Callable[[DockerSwarm], object]] = {
    "nodes": lambda swarm: swarm.nodes(),
    "local_node": lambda swarm: swarm.local_node(),
    "services": lambda swarm: swarm.services("shop"),
    "tasks": lambda swarm: swarm.tasks("shop"),
    "find": lambda swarm: swarm.find("shop.web.1"),
    "tasks_of": lambda swarm: swarm.tasks_of("s"),
    "tasks_on": lambda swarm: swarm.tasks_on("n"),
    "create": lambda swarm: swarm.create(SERVICE),
    "logs": lambda swarm: swarm.logs(TASK, 20),
    "set_availability": lambda swarm: swarm.set_availability("n", Availability.DRAIN),
    "set_label": lambda swarm: swarm.set_label("s", "a", "b"),
    "stop": lambda swarm: swarm.stop("s"),
    "remove": lambda swarm: swarm.remove("s"),
    "confirm": lambda swarm: swarm.confirm(),
    "release": lambda swarm: swarm.release(),
}


@pytest.fixture(params=["silent", "begins"])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SilentEngine]:
    """An engine that answers nothing but its version, or only the first byte of a response."""
    with silent_engine(tmp_path / "docker.sock", begins=request.param == "begins") as server:
        yield server


def impatient(server: SilentEngine, limit: float = LIMIT) -> DockerEngine:
    """Connect to an engine that may take `limit` seconds for a response, except for that to the connection."""
    with DockerEngine(HOME, server.environment):
        # The version is not asked for again within a minute.
        return DockerEngine(HOME, server.environment, timeout=limit)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_and_says_what_was_not_answered(silent: SilentEngine, name: str) -> None:
    """After its limit. The version of the API, parameters and most of an id are left out."""
    work, request = CALLS[name]
    with impatient(silent) as engine, pytest.raises(EngineFault) as raised:
        work(engine)
    address = silent.environment["DOCKER_HOST"]
    # `remove` inspects an image of the same name first.
    assert raised.value.message.startswith(f"Docker at {address} did not respond within {LIMIT:g} s")
    wanted = request.replace(" ", " /v1.41")
    until(lambda: silent.requests[-1].replace(ID, ID[:12]).startswith(wanted), f"the request {wanted}")
    assert raised.value.hint is not None
    assert "restart Docker" in raised.value.hint
    if not silent.begins:
        assert raised.value.message.endswith(f" s to {request}")


def test_output_that_does_not_begin_ends(tmp_path: Path) -> None:
    """Also that of a container that is followed."""
    work, request = CONTAINERS["stream"]
    with (
        silent_engine(tmp_path / "docker.sock") as server,
        impatient(server) as engine,
        pytest.raises(EngineFault, match=rf"did not respond within {LIMIT:g} s to {request}\n"),
    ):
        work(engine)


def test_each_method_of_the_interfaces_is_tried() -> None:
    """A new call of an engine needs a line in the tables of this module."""
    without_request = {"name", "ignores", "missing"}
    for interface, calls in ((Containers, {*CONTAINERS}), (Images, {*IMAGES, *TRANSFERS}), (Networks, {*NETWORKS})):
        assert {name for name in dir(interface) if not name.startswith("_")} - without_request == calls, interface
    assert {name for name in dir(Swarm) if not name.startswith("_")} - {"close"} == {*SWARM}


def test_transfers_end_after_their_limit(silent: SilentEngine) -> None:
    """They may be silent for longer than other calls, so only the caller's limit and a cancelled run end them."""

    def attempt(work: Callable[[Images], object]) -> None:
        with pytest.raises(TimeoutError):
            long_call(engine, work, timedelta(seconds=3 * LIMIT), NEVER)

    with impatient(silent) as engine, ThreadPoolExecutor() as pool:
        list(pool.map(attempt, TRANSFERS.values()))


@pytest.mark.parametrize("name", SWARM)
def test_a_call_of_a_swarm_ends(silent: SilentEngine, name: str) -> None:
    """The error says how long the engine had for it."""
    impatient(silent).close()
    swarm = DockerSwarm(HOME, silent.environment, read_timeout=LIMIT, write_timeout=LIMIT)
    with pytest.raises(EngineFault, match=rf"did not respond within {LIMIT:g} s"):
        SWARM[name](swarm)
    swarm.close()


def test_an_engine_that_answers_nothing_is_no_connection(tmp_path: Path) -> None:
    """The first call asks for the version."""
    with silent_engine(tmp_path / "docker.sock") as server:
        server.answered = ()
        with pytest.raises(EngineFault, match=r"did not respond within 0\.1 s to GET /version\n"):
            DockerEngine(HOME, server.environment, timeout=LIMIT)


def test_a_failed_start_is_removed_in_time(tmp_path: Path) -> None:
    """Also if the removal gets no answer. The error is that of the start."""
    with (
        silent_engine(tmp_path / "docker.sock", "/containers/create") as server,
        impatient(server, limit=3.0) as engine,
        pytest.raises(EngineFault, match=r" s to (POST|DELETE) /containers/aaaaaaaaaaaa"),
    ):
        engine.containers.start(SPEC)


CONSOLE: dict[str, Callable[[DockerConsole], object]] = {
    "containers": lambda console: console.containers("shop"),
    "has": lambda console: console.has(ID),
    "log": lambda console: console.log(ID),
    "log -f": lambda console: console.log(ID, follow=True),
    "exec": lambda console: console.exec(ID, ["sh"], tty=False),
    "copy": lambda console: console.copy(ID, "shop.run.1", ["sh"], tty=False),
    "remove": lambda console: console.remove(ID),
}


@pytest.mark.parametrize("name", CONSOLE)
def test_a_call_of_a_console_ends(tmp_path: Path, name: str) -> None:
    """Also one whose output may take any time: the response begins at once."""
    with silent_engine(tmp_path / "docker.sock") as server:
        console = DockerConsole(HOME, server.environment, timeout=LIMIT)
        with pytest.raises(EngineFault, match=r"did not respond within 0\.1 s to [A-Z]+ /containers/"):
            CONSOLE[name](console)


def test_a_command_that_is_not_started_in_time(tmp_path: Path) -> None:
    """The engine has taken it, and does not begin."""
    with silent_engine(tmp_path / "docker.sock", f"/containers/{ID}/exec") as server:
        console = DockerConsole(HOME, server.environment, timeout=3.0)
        with pytest.raises(EngineFault, match=r"did not respond within 3 s to POST /exec/aaaaaaaaaaaa/start"):
            console.exec(ID, ["sh"], tty=True)


def test_events_that_do_not_begin_end(tmp_path: Path) -> None:
    """The daemon connects again later. It is not live meanwhile."""
    with silent_engine(tmp_path / "docker.sock") as server:
        events = DockerEvents(HOME, server.environment, timeout=LIMIT)
        with pytest.raises(EngineFault, match=r"did not respond within 0\.1 s to GET /events"):
            list(events.follow())
        assert not events.answers()


def test_events_of_an_engine_that_hangs_are_interrupted(tmp_path: Path) -> None:
    """A stream is silent while nothing happens. A ping shows whether the engine still answers."""
    with silent_engine(tmp_path / "docker.sock", begins=True) as server:
        events = DockerEvents(HOME, server.environment, timeout=3.0)
        got: list[object] = []
        thread = threading.Thread(target=lambda: got.extend(events.follow()), daemon=True)
        thread.start()
        until(events.answers, "an answer to a ping")
        server.answered = ()
        assert not events.answers()
        events.interrupt()
        thread.join(SOON)
        assert not thread.is_alive()
        assert got == [None]
