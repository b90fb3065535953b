"""The checks of hosts."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.doctor import engine as doctor_engine
from pipeline.doctor import hosts
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.engine import described, engine_checks
from pipeline.doctor.finding import Finding
from pipeline.doctor.hosts import binds, clock_difference, differences, host_checks, reached
from pipeline.engine.interfaces import EngineDescription
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.ports import free_port
from tests.unit.doctor.subject import found_by

HERE = FakeEngine().describe()
ADDRESSES = frozenset({"127.0.0.1", "::1", "10.0.0.11", "192.168.1.2"})


@dataclass
class OldEngine(FakeEngine):
    """An engine that describes itself as told."""

    told: EngineDescription

    def __post_init__(self) -> None:
        FakeEngine.__init__(self)

    def describe(self) -> EngineDescription:
        """Return the description."""
        return self.told


def test_an_engine_is_described() -> None:
    """With its version and its storage driver. `vfs` is a warning."""
    assert described("Docker", HERE) == Finding.ok("Docker", "version 28.0.0, API 1.48, storage driver overlay2")
    assert described("Docker", HERE._replace(storage_driver="vfs")) == Finding.warning(
        "Docker",
        "version 28.0.0, API 1.48, storage driver vfs, which copies each layer as a whole",
        "set `storage-driver` to overlay2",
    )


def test_the_builder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic one is a warning, with the reason."""
    engine = FakeEngine()
    monkeypatch.setattr(doctor_engine, "local_engine", lambda *_: engine)
    context = DoctorContext(Home(Path("/srv")), {})
    assert found_by(engine_checks, context)[1] == Finding.ok("BuildKit", engine.builder.description)
    engine.builder.description = "the classic builder, because no docker command is installed"
    hint = "sudo apt-get install docker-buildx"
    assert found_by(engine_checks, context)[1] == Finding.warning("BuildKit", engine.builder.description, hint)


@pytest.mark.parametrize(
    ("there", "finding"),
    [
        (HERE, None),
        (
            HERE._replace(platform="linux/arm64"),
            Finding.failed(
                "host app1",
                "images are built for linux/amd64, and this host is linux/arm64",
                "use hosts of one platform",
            ),
        ),
        (
            HERE._replace(has_own_ids=False),
            Finding.failed(
                "host app1",
                "its image store differs from that of this machine, so images get another id there",
                "set `containerd-snapshotter` alike in /etc/docker/daemon.json of both",
            ),
        ),
    ],
)
def test_images_of_this_machine_run_there(
    monkeypatch: pytest.MonkeyPatch, there: EngineDescription, finding: Finding | None
) -> None:
    """Under the same id."""
    monkeypatch.setattr(hosts, "host_engine", lambda *_, **__: OldEngine(HERE))
    context = DoctorContext(Home(Path("/srv")), {})
    assert list(differences("host app1", there, context)) == ([finding] if finding else [])


@pytest.mark.parametrize(
    ("ahead", "uncertain", "text"),
    [
        (1.9, 0, ""),
        (-1.9, 0, ""),
        # The clock was read up to ten seconds before the answer came.
        (-10, 10, ""),
        (-11, 10, ""),
        (-13, 10, "its clock is 3 s behind"),
        (90, 0.1, "its clock is 90 s ahead"),
        (-90, 0, "its clock is 90 s behind"),
    ],
)
def test_the_clock_of_a_host(ahead: float, uncertain: float, text: str) -> None:
    """A slow answer is no difference."""
    found = clock_difference("host app1", timedelta(seconds=ahead), timedelta(seconds=uncertain))
    expected = Finding.warning("host app1", text, "timedatectl set-ntp true, there and here")
    assert found == (expected if text else Finding.ok("host app1", "its clock agrees with that of this machine"))


def test_an_address_that_the_host_has_not() -> None:
    """Docker cannot bind it. Those that it has are named."""
    assert binds("host app1", "10.0.0.11", ADDRESSES) == Finding.ok("host app1", "10.0.0.11 is an address of the host")
    assert binds("host app1", "203.0.113.7", ADDRESSES) == Finding.failed(
        "host app1",
        "203.0.113.7 is no address of the host, so Docker there cannot publish ports at it",
        "set `address` of the host to one that it has: 10.0.0.11, 192.168.1.2",
    )


def test_addresses_that_are_not_of_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Broadcast addresses and other ends are none. One of loopback is this machine for the balancer."""
    said = (
        "/dev/vda 61152632 20152632 40000000 34% /\n"
        "1: lo    inet 127.0.0.1/8 scope host lo\n"
        "2: eth0    inet 10.0.0.11/24 brd 10.0.0.255 scope global eth0\n"
        "2: eth0    inet6 fe80::1/64 scope link\n"
        "3: ppp0    inet 10.1.0.1 peer 10.1.0.2/32 scope global ppp0\n"
    )
    monkeypatch.setattr(hosts, "host_engine", lambda *_, **__: FakeEngine())
    monkeypatch.setattr(hosts, "command_on_host", lambda *_: said)
    monkeypatch.setattr(hosts, "with_address", lambda spec, _: spec)

    def found(address: str) -> list[Finding]:
        file = tmp_path / "pipeline.yaml"
        file.write_text(f"name: shop\ndeploy: {{hosts: [{{name: app1, docker: ssh://app1, address: {address}}}]}}\n")
        return found_by(host_checks, DoctorContext(Home(tmp_path), os.environ, load(file, {}, {})))

    hint = "set `address` of the host to one that it has: 10.0.0.11, 10.1.0.1"
    for address in ("10.0.0.255", "10.1.0.2"):
        assert hint in [each.hint for each in found(address)]
    assert found("127.0.0.1")[-2] == Finding.warning(
        "host app1",
        "127.0.0.1 is this machine for the balancer, so it reaches no replica on another one",
        "set `address` of the host, or use `docker: local` for this machine",
    )


def test_a_home_with_a_path_that_is_too_long_for_a_tunnel(tmp_path: Path) -> None:
    """Commands could not reach the host."""
    file, home = tmp_path / "pipeline.yaml", Path("/srv", "h" * 90)
    file.write_text("name: shop\ndeploy: {hosts: [{name: app1, docker: ssh://app1}]}\n")
    [found] = found_by(host_checks, DoctorContext(Home(home), os.environ, load(file, {}, {})))
    assert found.message.startswith(f"the path of the tunnel's socket is longer than 107 bytes: {home}/hosts/app1.")
    assert found.hint == "set PENSTOCK_HOME to a directory with a shorter path"


def test_an_address_that_is_reached() -> None:
    """Whether something listens at the port or not."""
    expected = Finding.ok("host app1", "the balancer reaches 127.0.0.1")
    assert reached("host app1", "127.0.0.1", free_port()) == expected
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reached("host app1", "127.0.0.1", server.getsockname()[1]) == expected


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (
            TimeoutError(),
            Finding.warning(
                "host app1",
                "no answer from 10.0.0.11 at port 20000 within 3 s",
                "open the ports from 10000 to 32767 of the host for this machine, unless its firewall hides unused "
                "ones",
            ),
        ),
        (
            OSError(113, "No route to host"),
            Finding.failed(
                "host app1",
                "the balancer does not reach 10.0.0.11: No route to host",
                "set `address` of the host to one that this machine reaches",
            ),
        ),
    ],
)
def test_an_address_that_is_not_reached(monkeypatch: pytest.MonkeyPatch, error: OSError, finding: Finding) -> None:
    """Silence may be a firewall that hides unused ports."""

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert reached("host app1", "10.0.0.11", 20000) == finding


def test_a_folder_of_any_name_is_one_word_of_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine says it, which may be another machine's."""
    folder = tmp_path / "images; touch made;"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosts, "host_engine", lambda *_, **__: OldEngine(HERE._replace(folder=str(folder))))
    (tmp_path / "pipeline.yaml").write_text("name: shop\ndeploy: {hosts: [{name: here, docker: local}]}\n")
    context = DoctorContext(Home(tmp_path), os.environ, load(tmp_path / "pipeline.yaml", {}, {}))
    found = found_by(host_checks, context)
    assert found[-1] == Finding.ok("host here", "the balancer reaches 127.0.0.1")
    assert not (tmp_path / "made").exists()


def test_the_clock_of_the_fake_is_that_of_its_machine() -> None:
    """It has a time zone, so that it can be compared."""
    assert abs(HERE.clock - datetime.now(UTC)) < timedelta(hours=1)
