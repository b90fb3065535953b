"""Contract of `Engine`, kept by every engine."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault, LayerMissing, NetworkVanished, PortTaken, StageFailed
from pipeline.engine.builder import BuildSpec
from pipeline.engine.container import Privileges, PublishedPort
from pipeline.engine.container_options import ContainerOptions, LogDriver, Ulimit
from pipeline.engine.image_archive import ImageArchive
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_APP, ROLE_TEST, image_tag
from pipeline.testing.fakes.image_file import write_image_file
from pipeline.testing.fakes.program import FILE_ERROR, PERMISSION_ERROR, PROCESS_ERROR, READ_ONLY_ERROR, Program
from tests.contract.engines import (
    ENDED,
    EXIT_3,
    NO_SUCH_PROGRAM,
    READY,
    EngineUnderTest,
    docker_engine,
    fake_engine,
    ssh_engine,
)
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until

# An engine that runs in a container may lack SYS_RESOURCE itself.
ALL_BUT_CHOWN = Privileges(cap_add=("ALL",), cap_drop=("CHOWN", "SYS_RESOURCE"))
NEVER = threading.Event()
SECOND = timedelta(seconds=1)


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.docker) for name in ("docker", "ssh"))])
def tested(request: pytest.FixtureRequest, base_image: str) -> Iterator[EngineUnderTest]:
    """An engine under test."""
    makers = {
        "fake": fake_engine,
        "docker": lambda: docker_engine(base_image),
        "ssh": lambda: ssh_engine(base_image, request.getfixturevalue("sshd")),
    }
    with makers[request.param]() as tested:
        yield tested


def test_a_started_container_is_listed_as_it_was_asked_for(tested: EngineUnderTest) -> None:
    """A container has the network, address and labels of its specification."""
    networks, containers = tested.engine.networks, tested.engine.containers
    address = networks.free_address("shop")
    spec = tested.spec(address=str(address))
    container = containers.start(spec)
    (listed,) = containers.for_pipeline("shop")
    assert (listed.id, listed.name, listed.image, listed.address) == (container, spec.name, tested.image, str(address))
    assert listed.is_running
    assert {**spec.labels, LABEL_HOME: listed.labels[LABEL_HOME]}.items() <= listed.labels.items()
    assert containers.find(spec.name) == replace(listed, running_for=containers.find(spec.name).running_for)  # type: ignore[union-attr]
    assert containers.for_pipeline("shop", ROLE_TEST) == []
    assert containers.for_pipeline("other") == []


def test_a_container_that_exited_tells_how(tested: EngineUnderTest) -> None:
    """An exited container keeps its exit code and last lines until it is removed."""
    container = tested.start(Program(lines=("one", "two"), exit_code=3))
    found = tested.exited(container)
    assert (found.exit_code, found.oom_killed, found.restarts) == (3, False, 0)
    assert tested.engine.containers.logs(container) == ("one", "two", READY)
    assert tested.engine.containers.logs(container, tail=2) == ("two", READY)


def test_sigterm_stops_a_container_that_handles_it(tested: EngineUnderTest) -> None:
    """A stopped container has its own exit code, and another stop changes nothing."""
    container = tested.start(Program(on_sigterm=5))
    tested.engine.containers.stop(container, timedelta(seconds=20))
    tested.engine.containers.stop(container, timedelta(seconds=20))
    found = tested.engine.containers.inspect(container)
    assert (found.state, found.exit_code) == ("exited", 5)


def test_a_container_that_was_stopped_starts_again(tested: EngineUnderTest) -> None:
    """It is the same container, with a new process and its earlier output. Another start changes nothing."""
    containers = tested.engine.containers
    container = tested.start()
    containers.stop(container, timedelta(seconds=20))
    containers.start_again(container)
    containers.start_again(container)
    until(lambda: containers.logs(container) == (READY, READY), "output of the second process")
    assert containers.inspect(container).state == "running"


def test_a_container_that_is_gone_does_not_start_again(tested: EngineUnderTest) -> None:
    """The error names it."""
    container = tested.start()
    tested.engine.containers.remove(container)
    with pytest.raises(StageFailed, match=f"^{container} cannot be started: "):
        tested.engine.containers.start_again(container)


def test_a_container_whose_network_was_removed_does_not_start_again(tested: EngineUnderTest) -> None:
    """A new network of the same name does not help."""
    networks, containers = tested.engine.networks, tested.engine.containers
    container = containers.start(tested.spec(address=str(networks.free_address("shop"))))
    containers.stop(container, timedelta(seconds=20))
    networks.remove("shop")
    networks.ensure("shop", again=True)
    with pytest.raises(NetworkVanished, match=rf"^{container} cannot be started: network \S+ not found"):
        containers.start_again(container)
    assert containers.inspect(container).state == "exited"


def test_sigkill_ends_a_container_after_its_grace(tested: EngineUnderTest) -> None:
    """A container that ignores SIGTERM is killed after its grace period."""
    container = tested.start(Program(on_sigterm=None))
    tested.engine.containers.stop(container, SECOND)
    found = tested.engine.containers.inspect(container)
    assert (found.state, found.exit_code) == ("exited", 137)


def test_a_container_is_restarted_only_with_a_policy(tested: EngineUnderTest) -> None:
    """A policy restarts a container at the same address and counts the restart."""
    containers = tested.engine.containers
    without = tested.start()
    tested.end(without)
    assert tested.exited(without).exit_code == ENDED

    container = tested.start()
    before = containers.inspect(container)
    containers.set_restart_policy(container, "always")
    tested.end(container)
    until(lambda: containers.inspect(container).restarts == 1, "a restart")
    until(lambda: containers.inspect(container).state == "running", "the restarted process")
    after = containers.inspect(container)
    assert after.address == before.address
    assert after.process_started_at is not None
    assert before.process_started_at is not None
    assert after.process_started_at >= before.process_started_at


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_container_that_is_stopped_is_not_restarted(tested: EngineUnderTest, how: str) -> None:
    """A stopped container is not restarted under any policy."""
    containers = tested.engine.containers
    container = tested.start()
    containers.set_restart_policy(container, "always")
    if how == "stop":
        containers.stop(container, timedelta(seconds=20))
    else:
        containers.kill(container)
    assert tested.exited(container).restarts == 0


@pytest.mark.parametrize(
    ("privileges", "needs", "has"),
    [
        (Privileges(), {"CHOWN", "NET_RAW", "SYS_CHROOT"}, True),
        (Privileges(), {"SYS_ADMIN"}, False),
        (Privileges(cap_drop=("NET_RAW",)), {"CHOWN"}, True),
        (Privileges(cap_drop=("NET_RAW",)), {"NET_RAW"}, False),
        (Privileges(cap_drop=("ALL",)), {"CHOWN"}, False),
        (Privileges(cap_add=("NET_RAW",), cap_drop=("ALL",)), {"NET_RAW"}, True),
        (Privileges(cap_add=("NET_RAW",), cap_drop=("ALL",)), {"NET_RAW", "CHOWN"}, False),
        (Privileges(cap_add=("SYS_ADMIN",), no_new_privileges=True), {"SYS_ADMIN", "CHOWN"}, True),
        (ALL_BUT_CHOWN, {"SYS_ADMIN"}, True),
        (ALL_BUT_CHOWN, {"CHOWN"}, False),
    ],
)
def test_a_container_has_its_capabilities(
    tested: EngineUnderTest, privileges: Privileges, needs: set[str], *, has: bool
) -> None:
    """A program runs with the capabilities that it needs, and fails without one of them."""
    container = tested.start(Program(needs=frozenset(needs), exit_code=0), privileges=privileges)
    assert tested.exited(container).exit_code == (0 if has else 1)
    assert (PERMISSION_ERROR in tested.engine.containers.logs(container)) is not has


@pytest.mark.parametrize(("processes", "starts"), [(10, True), (60, False)])
def test_a_container_has_its_number_of_processes(tested: EngineUnderTest, processes: int, *, starts: bool) -> None:
    """A program that starts more processes than its container may have fails."""
    container = tested.start(Program(processes=processes, exit_code=0), pids=40)
    assert tested.exited(container).exit_code == (0 if starts else 1)
    assert (PROCESS_ERROR in tested.engine.containers.logs(container)) is not starts


def test_a_container_joins_more_networks(tested: EngineUnderTest) -> None:
    """It keeps its address in the pipeline's network, and both networks are in use."""
    networks, containers = tested.engine.networks, tested.engine.containers
    other, address = tested.add_network(), str(networks.free_address("shop"))
    assert networks.has(other)
    options = ContainerOptions(networks={other: ("db",)})
    container = containers.start(tested.spec(address=address, options=options))
    assert containers.inspect(container).address == address
    assert [found.address for found in containers.for_pipeline("shop")] == [address]
    containers.stop(container, SECOND)
    assert containers.inspect(container).address in ("", address)


def test_a_network_that_does_not_exist(tested: EngineUnderTest) -> None:
    """A container that joins it cannot be started, and leaves nothing."""
    spec = tested.spec(options=ContainerOptions(networks={"no-such-network": ()}))
    assert not tested.engine.networks.has("no-such-network")
    with pytest.raises(StageFailed, match=rf"{spec.name} cannot be started: network no-such-network not found"):
        tested.engine.containers.start(spec)
    assert tested.engine.containers.find(spec.name) is None


@pytest.mark.parametrize(
    ("driver", "lines"),
    [(LogDriver("none"), ()), (LogDriver("local"), (READY,)), (LogDriver(None, {"max-size": "1m"}), (READY,))],
)
def test_a_log_driver_decides_what_is_read(tested: EngineUnderTest, driver: LogDriver, lines: tuple[str, ...]) -> None:
    """The driver none keeps no output, and reading it is no fault."""
    assert driver.name is None or driver.name in tested.engine.log_drivers
    spec = tested.spec(Program(exit_code=0), options=ContainerOptions(log_driver=driver))
    container = tested.engine.containers.start(spec)
    tested.exited(container)
    assert tested.engine.containers.logs(container) == lines


@pytest.mark.parametrize(
    ("options", "program", "error"),
    [
        (ContainerOptions(read_only=True), Program(files={"/kept/file": b""}), READ_ONLY_ERROR),
        (ContainerOptions(read_only=True, tmpfs={"/kept": ""}), Program(files={"/kept/file": b""}), READY),
        (ContainerOptions(ulimits={"nofile": Ulimit(20, 40)}), Program(open_files=21), FILE_ERROR),
        (ContainerOptions(ulimits={"nofile": Ulimit(64, 64)}), Program(open_files=21), READY),
    ],
    ids=["read-only", "read-only but for a tmpfs", "too many open files", "enough open files"],
)
def test_options_limit_a_program(
    tested: EngineUnderTest, options: ContainerOptions, program: Program, error: str
) -> None:
    """A program fails where its container may not write, or may open no more files."""
    container = tested.engine.containers.start(tested.spec(replace(program, exit_code=0), options=options))
    assert tested.exited(container).exit_code == (0 if error == READY else 1)
    assert tested.engine.containers.logs(container)[-1] == error


def test_labels_of_the_options_do_not_replace_others(tested: EngineUnderTest) -> None:
    """A container has the labels of its options besides those of its specification."""
    options = ContainerOptions(labels={"team": "web", LABEL_PIPELINE: "other", LABEL_HOME: "other"})
    tested.start(options=options)
    (found,) = tested.engine.containers.for_pipeline("shop")
    assert found.labels["team"] == "web"


def test_a_removed_container_is_gone(tested: EngineUnderTest) -> None:
    """Every call but `inspect` ignores a removed container, and its name is free."""
    containers = tested.engine.containers
    spec = tested.spec()
    container = containers.start(spec)
    containers.remove(container)
    containers.remove(container)
    containers.stop(container, SECOND)
    containers.kill(container)
    containers.set_restart_policy(container, "always")
    assert containers.find(spec.name) is None
    assert containers.for_pipeline("shop") == []
    assert containers.logs(container) == ()
    with pytest.raises(EngineFault):
        containers.inspect(container)
    containers.start(spec)


def test_what_cannot_be_started_leaves_nothing(tested: EngineUnderTest) -> None:
    """An unknown program or image is a stage failure and leaves no container."""
    for spec in (tested.spec(command=NO_SUCH_PROGRAM), tested.spec(image="penstock/no-such-image:1")):
        with pytest.raises(StageFailed, match=f"{spec.name} cannot be started: "):
            tested.engine.containers.start(spec)
        assert tested.engine.containers.find(spec.name) is None


def test_a_port_is_published_once(tested: EngineUnderTest) -> None:
    """The second start with a port fails and leaves nothing. The port is free once the first container is removed."""
    containers, port = tested.engine.containers, free_port()
    first, second = (tested.spec(published=(PublishedPort(8080, "127.0.0.1", port),)) for _ in range(2))
    container = containers.start(first)
    with pytest.raises(PortTaken):
        containers.start(second)
    assert containers.find(second.name) is None
    containers.remove(container)
    containers.start(second)


def test_a_name_is_given_once(tested: EngineUnderTest) -> None:
    """The second start of a name fails and leaves the first container alone."""
    spec = tested.spec()
    container = tested.engine.containers.start(spec)
    with pytest.raises(StageFailed):
        tested.engine.containers.start(spec)
    assert tested.engine.containers.inspect(container).is_running


def test_a_stream_has_every_line_and_ends_with_the_process(tested: EngineUnderTest) -> None:
    """A stream begins with the first line, even if it is opened late."""
    container = tested.start(Program(lines=("one", "two")))
    with ThreadPoolExecutor(1) as pool:
        lines = pool.submit(lambda: list(tested.engine.containers.stream(container)))
        tested.engine.containers.stop(container, timedelta(seconds=20))
        assert lines.result(DEADLINE) == ["one", "two", READY]


def test_a_command_runs_in_a_container(tested: EngineUnderTest) -> None:
    """A command returns its exit code, or None if the container does not run."""
    containers = tested.engine.containers
    container = tested.start()
    assert containers.exec(container, EXIT_3, timedelta(seconds=20), NEVER) == 3
    with pytest.raises(StageFailed):
        containers.exec(container, NO_SUCH_PROGRAM, timedelta(seconds=20), NEVER)
    containers.stop(container, timedelta(seconds=20))
    assert containers.exec(container, EXIT_3, timedelta(seconds=20), NEVER) is None


def test_files_are_read_out_of_a_container(tested: EngineUnderTest) -> None:
    """Files are readable after the exit, and missing or too large ones give nothing."""
    containers = tested.engine.containers
    container = tested.start(Program(exit_code=0, files={"/kept/report/a.xml": b"<a/>"}))
    tested.exited(container)
    content = b"".join(containers.tar(container, "/kept/report"))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert [m.name for m in tar if m.isreg()] == ["report/a.xml"]
    assert list(containers.tar(container, "/kept/nothing")) == []


def test_the_end_of_a_process_has_its_time(tested: EngineUnderTest) -> None:
    """A container that runs has none."""
    containers = tested.engine.containers
    running = containers.inspect(tested.start())
    assert (running.state, running.finished_at) == ("running", None)
    ended = tested.start(Program(exit_code=0))
    tested.exited(ended)
    found = containers.inspect(ended)
    assert found.finished_at is not None
    assert found.process_started_at is not None
    assert found.process_started_at <= found.finished_at


def test_a_program_uses_its_cpu_time(tested: EngineUnderTest) -> None:
    """A busy one uses more than one that waits. A container that does not run has no CPU time."""
    containers = tested.engine.containers
    idle, busy = tested.start(), tested.start(Program(cpu=1.0))
    first = containers.cpu_time(busy)
    assert first is not None
    until(lambda: (now := containers.cpu_time(busy)) and now.seconds > first.seconds + 0.2, "use of CPU time")
    waiting, working = containers.cpu_time(idle), containers.cpu_time(busy)
    assert waiting is not None
    assert working is not None
    assert working.seconds > waiting.seconds
    assert 0 < working.seconds - first.seconds <= 1.1 * (working.read_at - first.read_at)
    containers.stop(idle, timedelta(0))
    assert containers.cpu_time(idle) is None
    assert containers.cpu_time("gone") is None


def test_a_distant_address_is_not_the_next_one(tested: EngineUnderTest) -> None:
    """A rollout of another process chooses the next ones at the same time. A container can have it."""
    networks = tested.engine.networks
    subnet = networks.ensure("shop")
    distant = networks.distant_address("shop")
    nearest = [networks.free_address("shop") for _ in range(16)]
    assert distant in subnet
    assert distant not in nearest
    network = networks.name("shop")
    container = tested.engine.containers.start(tested.spec(network=network, address=str(distant)))
    assert tested.engine.containers.inspect(container).address == str(distant)


def test_leftovers_of_runs_that_ended_are_removed(tested: EngineUnderTest) -> None:
    """Test containers and networks are removed, except those of running runs."""
    containers, networks = tested.engine.containers, tested.engine.networks
    replica = tested.start()
    for run in (1, 2):
        labels = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_TEST, LABEL_RUN: str(run)}
        tested.start(labels=labels, network=networks.create_private("shop", run))
    containers.remove_leftovers("shop", lambda: [2])
    assert [c.labels[LABEL_RUN] for c in containers.for_pipeline("shop", ROLE_TEST)] == ["2"]
    assert [labels[LABEL_RUN] for labels in networks.private("shop").values()] == ["2"]
    assert [c.id for c in containers.for_pipeline("shop")] == [replica]
    containers.remove_leftovers("shop")
    assert containers.for_pipeline("shop", ROLE_TEST) == []
    assert networks.private("shop") == {}


def test_an_engine_describes_itself(tested: EngineUnderTest) -> None:
    """Its clock is that of its machine, which is this one."""
    found = tested.engine.describe()
    assert found.platform == tested.engine.platform
    assert all(found._replace(has_own_ids=True))
    assert found.folder.startswith("/")
    assert abs(found.clock - datetime.now(UTC)) < timedelta(seconds=DEADLINE)


def test_an_image_is_tagged_and_removed(tested: EngineUnderTest, base_image: str, tmp_path: Path) -> None:
    """A built image has its labels and cannot be removed while a container uses it."""
    images, tag = tested.engine.images, image_tag("0123456789ab", "Shop", "contract")
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\n")
    spec = BuildSpec(tmp_path, "Dockerfile", tag, labels={LABEL_PIPELINE: "shop", LABEL_RUN: "7"})
    image = tested.engine.builder.build(spec, lambda _: None, threading.Event(), timedelta(seconds=DEADLINE))
    images.tag(image, "penstock/contract:2")
    # A transfer that was killed leaves such a one.
    images.tag(image, "127.0.0.1:20000/penstock/contract:2")
    assert images.id(tag) == images.id("penstock/contract:2") == images.id(image) == image
    assert images.has_name(image)
    assert not images.has_name("penstock/no-such-image:1")
    assert images.for_pipeline("shop") == {image: "7"}
    assert images.for_pipeline("other") == {}
    assert images.size(image) > 0
    assert images.healthcheck(image) is None
    container = tested.engine.containers.start(tested.spec(image=image))
    assert not images.remove(image)
    tested.engine.containers.remove(container)
    assert images.remove(image)
    assert images.remove(image)
    assert images.id(image) is None


def test_an_image_is_saved_and_loaded(tested: EngineUnderTest, base_image: str, tmp_path: Path) -> None:
    """It has the same id afterwards. An archive may lack the layers of another image."""
    images = tested.engine.images
    kept, moved = (_build(tested, base_image, tmp_path, content) for content in ("kept", "moved"))
    layers = images.layers(moved)
    assert images.layers(kept)[:-1] == layers[:-1]
    assert {kept, moved} <= images.ids()
    with ImageArchive.read(images.save(moved), (), tmp_path) as archive:
        assert images.remove(moved)
        assert images.layers(moved) == ()
        with pytest.raises(EngineFault):
            images.load(iter([next(archive.without(()))]))
        assert images.id(moved) is None
        # The other layers are those of the image that was kept.
        images.load(archive.without(layers[:-1]))
        images.load(archive.without(layers[:-1]))
        assert (images.id(moved), images.layers(moved)) == (moved, layers)
        assert archive.size_without(layers[:-1]) == sum(map(len, archive.without(layers[:-1])))
        images.remove(moved)
        images.load(archive.without(()))
    assert images.for_pipeline("shop").keys() >= {kept, moved}
    with pytest.raises(EngineFault):
        next(images.save("penstock/no-such-image:1"))


def test_an_image_without_a_layer_is_not_loaded(tested: EngineUnderTest) -> None:
    """Neither this engine nor the archive has it."""
    layer = f"sha256:{secrets.token_hex(32)}"
    of_docker = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer]}}
    of_fake: dict[str, object] = {"labels": {}, "healthcheck": None, "size": 1, "layers": [layer]}
    configuration = {**of_docker, **of_fake, "id": f"sha256:{secrets.token_hex(32)}"}
    before = tested.engine.images.ids()
    with pytest.raises(LayerMissing):
        tested.engine.images.load(write_image_file(configuration, [None]))
    made = hashlib.sha256(json.dumps(configuration).encode()).hexdigest()
    assert not (tested.engine.images.ids() - before) & {f"sha256:{made}", configuration["id"]}


def _build(tested: EngineUnderTest, base_image: str, folder: Path, content: str) -> str:
    """Build an image with one layer of its own."""
    (folder / "Dockerfile").write_text(f"FROM {base_image}\nCOPY file /\n")
    (folder / "file").write_text(content)
    spec = BuildSpec(folder, "Dockerfile", f"penstock/contract:{content}", labels={LABEL_PIPELINE: "shop"})
    return tested.engine.builder.build(spec, lambda _: None, threading.Event(), timedelta(seconds=DEADLINE))


def test_an_image_that_no_registry_has_cannot_be_pulled(tested: EngineUnderTest) -> None:
    """A registry that does not respond is an engine fault."""
    with pytest.raises(EngineFault):
        tested.engine.images.pull("127.0.0.1:1/penstock/none:1")


def test_a_dockerignore_leaves_files_out(tested: EngineUnderTest) -> None:
    """A `.dockerignore` excludes files by name, by glob and below a folder."""
    ignores = tested.engine.images.ignores("secret.txt\nbuild\n*.log\n")
    paths = ("secret.txt", "build/app.o", "run.log", "app.py")
    assert [path for path in paths if ignores(path)] == ["secret.txt", "build/app.o", "run.log"]
    assert [folder for folder in ("build/", "build/x/", "app/") if ignores(folder)] == ["build/", "build/x/"]


@pytest.mark.parametrize("other", ["shop-draft", "shop-2", "my-shop", "shop-draft-2"])
def test_a_pipeline_whose_name_contains_another(tested: EngineUnderTest, other: str) -> None:
    """Neither disturbs the network of the other, and neither lists the containers of the other."""
    networks, containers = tested.engine.networks, tested.engine.containers
    networks.remove("shop")
    try:
        address = networks.free_address(other)
        labels = {LABEL_PIPELINE: other, LABEL_ROLE: ROLE_APP}
        container = tested.start(labels=labels, address=str(address), network=networks.name(other), name=f"{other}.1")
        assert networks.ensure("shop") != networks.ensure(other, again=True)
        assert containers.find(f"{other}.1") is not None
        assert containers.find("shop") is None
        assert containers.for_pipeline("shop") == []
        networks.remove("shop")
        assert containers.inspect(container).is_running
    finally:
        for found in containers.for_pipeline(other):
            containers.remove(found.id)
        networks.remove(other)


def test_a_pipeline_has_one_network(tested: EngineUnderTest) -> None:
    """A network keeps its addresses until it is removed, and removal may be repeated."""
    networks = tested.engine.networks
    assert networks.ensure("shop") == networks.ensure("shop", again=True)
    networks.remove("shop")
    networks.remove("shop")
    assert networks.ensure("shop", again=True).num_addresses > 2


def test_no_address_is_given_twice(tested: EngineUnderTest) -> None:
    """Sixteen concurrent starts and a stopped container all have different addresses."""
    containers, networks = tested.engine.containers, tested.engine.networks
    stopped = containers.start(tested.spec(address=str(networks.free_address("shop"))))
    containers.stop(stopped, SECOND)
    subnet = networks.ensure("shop")
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda _: networks.free_address("shop"), range(16)))
    assert len({*map(str, given), containers.inspect(stopped).address}) == 17
    assert all(address in subnet for address in given)


def test_an_engine_that_runs_answers(tested: EngineUnderTest) -> None:
    """A running engine responds."""
    assert tested.engine.answers()
