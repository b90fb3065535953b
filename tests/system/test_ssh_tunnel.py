"""Tunnels through a real SSH server to a socket that answers as an engine does."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import EngineFault
from pipeline.base.sockets import connection_to
from pipeline.engine.ssh.tunnel import Tunnel
from pipeline.engine.ssh_address import SshAddress
from tests.support.sshd import SshServer, ssh_server
from tests.support.waiting import DEADLINE, until

_USER = """
import os, sys
from pathlib import Path
from pipeline.engine.ssh_address import SshAddress
from pipeline.engine.ssh.tunnel import Tunnel
with Tunnel(Path(sys.argv[1]), "one", SshAddress.from_text(sys.argv[2]), os.environ):
    print("open", flush=True)
    sys.stdin.read()
"""


class Answer(BaseHTTPRequestHandler):
    """The response of an engine to a ping."""

    def do_GET(self) -> None:
        """Respond."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")

    def address_string(self) -> str:
        """Return the name of a client, which has no address."""
        return "client"

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Engine(socketserver.ThreadingUnixStreamServer):
    """An engine that many users may ask at once."""

    request_queue_size = 100


class World:
    """A server, the folder of the tunnels, and the engine's socket."""

    def __init__(self, server: SshServer, folder: Path) -> None:
        self.server = server
        self.folder = folder / "hosts"
        self.engine = folder / "engine.sock"

    @property
    def address(self) -> SshAddress:
        """The address of the engine."""
        return SshAddress("app1", socket=str(self.engine))

    def tunnel(self, **more: Any) -> Tunnel:
        """Return a tunnel that is not open yet, to the engine or to an address that differs from its own."""
        return Tunnel(self.folder, "one", replace(self.address, **more), self.server.environment)

    def answers(self) -> bool:
        """Return whether the engine responds through the tunnel."""
        (path,) = self.folder.glob("*.users")
        try:
            with connection_to(self.folder, f"{path.stem}.sock", DEADLINE) as connection:
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return bool(connection.recv(1))
        except OSError:
            return False

    def error(self) -> str:
        """Return why another user cannot open the tunnel."""
        with pytest.raises(EngineFault) as raised:
            self.tunnel().open()
        return raised.value.message

    def processes(self, program: str) -> list[int]:
        """Return the processes of this tunnel: the keepers, or those of ssh."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            is_keeper = "pipeline.engine.ssh.keeper" in words
            if str(self.server.folder) in " ".join(words) and is_keeper is (program == "keeper"):
                found += [int(path.parent.name)] if is_keeper or "-N" in words else []
        return found

    def user(self) -> subprocess.Popen[bytes]:
        """Start another process that uses the tunnel. Returns when it is open."""
        command = [sys.executable, "-c", _USER, str(self.folder), str(self.address)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.server.environment, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        return process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server of this module."""
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def world(server: SshServer, tmp_path: Path) -> Iterator[World]:
    """A server that runs, and an engine that answers. No tunnel is left."""
    world = World(server, tmp_path)
    with Engine(str(world.engine), Answer) as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield world
            until(lambda: not world.processes("keeper") and not world.processes("ssh"), "the end of the tunnel")
            assert not list(world.folder.glob("*.sock"))
        finally:
            engine.shutdown()
            thread.join()


def _ended(process: subprocess.Popen[bytes]) -> None:
    with process:
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def test_users_share_a_tunnel_that_ends_with_the_last_one(world: World) -> None:
    """The first user starts it and may end first. Opening it twice is one use."""
    first = world.user()
    with world.tunnel() as tunnel:
        tunnel.open()
        (keeper,) = world.processes("keeper")
        (ssh,) = world.processes("ssh")
        _ended(first)
        assert world.answers()
        last = world.user()
    assert world.answers()
    assert (world.processes("keeper"), world.processes("ssh")) == ([keeper], [ssh])
    _ended(last)


def test_killed_users_leave_no_tunnel(world: World) -> None:
    """SIGKILL of its starter leaves the tunnel to the other user, and of that one ends it."""
    first, second = world.user(), world.user()
    for process, is_open in ((first, True), (second, False)):
        process.kill()
        with process:
            pass
        if is_open:
            assert world.answers()


def test_many_users_at_once_start_one_tunnel(world: World) -> None:
    """Threads of a process and other processes alike."""
    tunnels = [world.tunnel() for _ in range(8)]
    threads = [threading.Thread(target=tunnel.open) for tunnel in tunnels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(world.processes("keeper")) == 1
    for tunnel in tunnels:
        tunnel.close()
        tunnel.close()


@pytest.mark.parametrize("victim", ["keeper", "ssh"])
def test_a_killed_part_is_replaced(world: World, victim: str) -> None:
    """A killed ssh is started again by its keeper. A killed keeper takes ssh along, and the next user starts both."""
    with world.tunnel():
        (pid,) = world.processes(victim)
        os.kill(pid, signal.SIGKILL)
        if victim == "keeper":
            until(lambda: not world.processes("ssh"), "the end of ssh")
            with world.tunnel():
                assert world.answers()
        else:
            until(lambda: world.processes("ssh") not in ([], [pid]), "another ssh")
            until(world.answers, "a response")


def test_a_server_that_comes_back_is_connected_to(world: World) -> None:
    """Meanwhile the error tells why there is no connection."""
    with world.tunnel():
        world.server.stop()
        try:
            until(lambda: not world.answers(), "the loss")
            until(lambda: "app1 has no SSH server at this port" in world.error(), "the cause")
        finally:
            world.server.start()
        until(world.answers, "a response")


def test_a_silent_connection_is_noticed(world: World) -> None:
    """The kernel keeps it open, and nothing comes."""
    with world.tunnel():
        (ssh,) = world.processes("ssh")
        world.server.freeze()
        try:
            until(lambda: ssh not in world.processes("ssh"), "the end of ssh")
        finally:
            world.server.thaw()
        until(world.answers, "a response")


def test_an_unknown_host_key_is_not_accepted(world: World) -> None:
    """And neither is a changed one."""
    key = world.server.known_hosts.read_text()
    other = (world.server.folder / "user.pub").read_text()
    try:
        world.server.known_hosts.write_text("")
        with pytest.raises(EngineFault, match=r"^host one \(ssh://app1/.*: the host key of app1 is not known\n"):
            world.tunnel().open()
        assert world.server.known_hosts.read_text() == ""
        world.server.know(other)
        with pytest.raises(EngineFault, match=r"the host key of app1 has changed\n.*ssh-keygen -R"):
            world.tunnel().open()
    finally:
        world.server.known_hosts.write_text(key)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"user": "nosuchuser"}, "app1 refuses the login"),
        ({"socket": "/nothing/docker.sock"}, "/nothing/docker.sock does not exist there"),
    ],
)
def test_a_tunnel_that_cannot_be_opened(world: World, more: dict[str, str], error: str) -> None:
    """The error says which host and why, and nothing is left."""
    with pytest.raises(EngineFault, match=error):
        world.tunnel(**more).open()


def test_a_socket_that_nothing_listens_at(world: World, tmp_path: Path) -> None:
    """It is there, and its owner is not."""
    (tmp_path / "stale.sock").touch()
    with pytest.raises(EngineFault, match=r"the SSH server does not connect to .*\ncheck that Docker runs there"):
        world.tunnel(socket=str(tmp_path / "stale.sock")).open()


def test_without_ssh(tmp_path: Path) -> None:
    """The error names the package."""
    tunnel = Tunnel(tmp_path, "one", SshAddress("app1"), {"PATH": str(tmp_path)})
    with pytest.raises(EngineFault, match=r"the program ssh is not installed\n.*openssh-client"):
        tunnel.open()


def test_a_path_that_no_socket_can_have(tmp_path: Path, server: SshServer) -> None:
    """The error says what to shorten."""
    tunnel = Tunnel(tmp_path / ("a" * 100), "one", SshAddress("app1"), server.environment)
    with pytest.raises(EngineFault, match=r"longer than 107 bytes: .*\nset PENSTOCK_HOME"):
        tunnel.open()


def test_files_that_cannot_be_made(tmp_path: Path, server: SshServer) -> None:
    """As on a full disk, the error has the host's name and the cause."""
    (tmp_path / "file").touch()
    tunnel = Tunnel(tmp_path / "file" / "hosts", "one", SshAddress("app1"), server.environment)
    with pytest.raises(EngineFault, match=r"^host one \(ssh://app1\): the tunnel cannot be started: .*Not a directory"):
        tunnel.open()
