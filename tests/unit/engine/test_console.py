"""Commands in containers, with a server in place of Docker that answers as Docker does."""

from __future__ import annotations

import json
import os
import pty
import socket
import socketserver
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.cli.terminal import attach
from pipeline.engine.console import abandoned
from pipeline.engine.docker.console import DockerConsole
from pipeline.engine.docker.networks import distant_address
from pipeline.engine.docker.wire import Refusal, Wire
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, ROLE_CONSOLE
from tests.support.paths import ROOT

HOME = "0123456789abcdef"
LABELS = {LABEL_HOME: HOME, LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP}
STAMP = "2026-01-02T03:04:05.000000001Z"
Answer = tuple[int, Any]


def frame(source: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", source, len(content)) + content


class FakeDocker(socketserver.ThreadingUnixStreamServer):
    """Answers requests by `answers`, by method and path. A value that is called gets the connection."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, Answer | Callable[[socket.socket], None]] = {}
        self.bodies: dict[str, Any] = {}
        self.asked: list[str] = []
        super().__init__(str(path), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: FakeDocker
    request: socket.socket

    def handle(self) -> None:
        stream = self.request.makefile("rb")
        method, target, _ = stream.readline().decode().split()
        size = 0
        while (line := stream.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        key = f"{method} {target.partition('?')[0]}"
        self.server.asked.append(f"{method} {target}")
        self.server.bodies[key] = json.loads(stream.read(size) or b"null")
        answer = self.server.answers.get(key, (404, {"message": f"no {key}"}))
        if callable(answer):
            self.request.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
            answer(self.request)
            return
        status, data = answer
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.request.sendall(f"HTTP/1.0 {status} -\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    with FakeDocker(tmp_path / "docker.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def environment(docker: FakeDocker, tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}


@pytest.fixture
def console(environment: dict[str, str]) -> DockerConsole:
    return DockerConsole(HOME, environment)


def echo(connection: socket.socket) -> None:
    """Return the input as output until it ends, then write an error."""
    while data := connection.recv(65536):
        connection.sendall(frame(1, data))
    # The other end may be gone.
    with suppress(OSError):
        connection.sendall(frame(2, b"over\n"))


def row(name: str, address: str, **labels: str) -> dict[str, Any]:
    return {
        "Id": name,
        "Names": [f"/{name}"],
        "State": "running",
        "ImageID": "sha256:1",
        "Labels": {**LABELS, **labels},
        "Created": 1767323045,
        "NetworkSettings": {"Networks": {"net": {"IPAddress": address}}},
    }


def with_input(monkeypatch: pytest.MonkeyPatch, text: bytes) -> Callable[[], tuple[bytes, bytes]]:
    """Replace this process's input and output by pipes. Return what reads the output and the errors."""
    source, end = os.pipe()
    os.write(end, text)
    os.close(end)
    outputs = [os.pipe(), os.pipe()]
    files = [os.fdopen(source), *(os.fdopen(writer, "w") for _, writer in outputs)]
    for name, file in zip(("stdin", "stdout", "stderr"), files, strict=True):
        monkeypatch.setattr(f"sys.{name}", file)

    def read() -> tuple[bytes, bytes]:
        monkeypatch.undo()
        for file in files:
            file.close()
        found = [os.read(reader, 65536) for reader, _ in outputs]
        for reader, _ in outputs:
            os.close(reader)
        return found[0], found[1]

    return read


def test_exec(docker: FakeDocker, console: DockerConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input, output, errors and the exit code pass through."""
    docker.answers |= {
        "POST /containers/abc/exec": (201, {"Id": "e1"}),
        "POST /exec/e1/start": echo,
        "GET /exec/e1/json": (200, {"Running": False, "ExitCode": 7}),
    }
    read = with_input(monkeypatch, b"one\ntwo\n")
    process = console.exec("abc", ["cat"], tty=False)
    code = attach(process, with_terminal=False)
    process.close()
    assert (code, *read()) == (7, b"one\ntwo\n", b"over\n")
    assert docker.bodies["POST /containers/abc/exec"]["Cmd"] == ["cat"]


def test_a_terminal(docker: FakeDocker, environment: dict[str, str], tmp_path: Path) -> None:
    """Each key reaches the command, also Ctrl-C and what was typed before the start, and the window has its size."""

    def raw(connection: socket.socket) -> None:
        while (data := connection.recv(1)) != b"q":
            connection.sendall(b"<%d>" % data[0])

    docker.answers |= {
        "GET /containers/json": (200, [row("shop.web.r1.a", "10.1.0.2")]),
        "POST /containers/shop.web.r1.a/exec": (201, {"Id": "e1"}),
        "POST /exec/e1/start": raw,
        "POST /exec/e1/resize": (200, b""),
        "GET /exec/e1/json": (200, {"Running": False, "ExitCode": 3}),
    }
    (tmp_path / "pipeline.yaml").write_text("name: shop\n")
    near, far = pty.openpty()
    termios.tcsetwinsize(near, (24, 80))
    os.write(near, b"a\n")
    command = [sys.executable, "-m", "pipeline.cli.main", "exec"]
    variables = {**os.environ, **environment, "PENSTOCK_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stdin=far, stdout=far, stderr=far) as process:
        os.close(far)
        shown = b""
        while b"<97><10>" not in shown:
            shown += os.read(near, 1024)
        os.write(near, b"\x03")
        while b"<3>" not in shown:
            shown += os.read(near, 1024)
        os.write(near, b"q")
        assert process.wait(20) == 3
    os.close(near)
    assert docker.bodies["POST /containers/shop.web.r1.a/exec"]["Tty"] is True
    assert any(asked.endswith("/exec/e1/resize?h=24&w=80") for asked in docker.asked)


@pytest.fixture
def copied(docker: FakeDocker) -> FakeDocker:
    """A Docker that has a container to copy."""
    config = {"Env": ["A=1"], "Cmd": ["serve"], "Entrypoint": ["/init"], "Labels": LABELS, "User": ""}
    host = {"NetworkMode": "net", "Binds": ["data:/data"], "PortBindings": {"80/tcp": []}, "Memory": 7}
    network = {"Name": "net", "IPAM": {"Config": [{"Subnet": "10.1.0.0/16"}]}, "Containers": {}}
    chosen = {"IPAMConfig": {"IPv4Address": "10.2.0.2"}, "Aliases": ["db"]}
    joined = {"Networks": {"net": {}, "backend": {"Aliases": ["db"]}, "other": chosen}}
    model = {"Image": "sha256:1", "Config": config, "HostConfig": host, "NetworkSettings": joined}
    docker.answers |= {
        "GET /containers/abc/json": (200, model),
        "GET /networks/net": (200, network),
        "GET /networks/other": (200, {**network, "IPAM": {"Config": [{"Subnet": "10.2.0.0/16"}]}}),
        "POST /networks/backend/connect": (200, b""),
        "POST /networks/other/connect": (200, b""),
        "GET /containers/json": (200, [row("abc", "10.1.0.2")]),
        "POST /containers/create": (201, {"Id": "new"}),
        "POST /containers/new/attach": echo,
        "POST /containers/new/wait": (200, {"StatusCode": 9}),
        "POST /containers/new/start": (204, b""),
        "DELETE /containers/new": (404, {"message": "gone"}),
    }
    return docker


def test_copy(copied: FakeDocker, console: DockerConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy has all that the container has, but another command, another address and no port."""
    read = with_input(monkeypatch, b"")
    process = console.copy("abc", "shop.web.once.1", ["true"], tty=False, entrypoint=())
    assert attach(process, with_terminal=False, forwards_signals=True) == 9
    process.close()
    assert read()[1] == b"over\n"
    made = copied.bodies["POST /containers/create"]
    assert (made["Env"], made["Cmd"], made["Entrypoint"], made["Image"]) == (["A=1"], ["true"], [], "sha256:1")
    assert made["HostConfig"]["Binds"] == ["data:/data"]
    assert (made["HostConfig"]["PortBindings"], made["HostConfig"]["AutoRemove"]) == ({}, True)
    assert made["Labels"] == {**LABELS, LABEL_ROLE: ROLE_CONSOLE}
    address = made["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"]["IPv4Address"]
    assert address not in ("10.1.0.2", "10.1.0.3")
    # Without the names of the other container in these networks.
    assert copied.bodies["POST /networks/backend/connect"] == {"Container": "new", "EndpointConfig": {}}
    other = copied.bodies["POST /networks/other/connect"]["EndpointConfig"]
    assert other.keys() == {"IPAMConfig"}
    assert other["IPAMConfig"]["IPv4Address"].startswith("10.2.0.")


def test_a_command_that_cannot_be_started(copied: FakeDocker, console: DockerConsole) -> None:
    """The container is removed, and the error has Docker's reason."""
    copied.answers["POST /containers/new/start"] = (400, {"message": "OCI runtime create failed: no such file"})
    with pytest.raises(StageFailed, match="Docker: OCI runtime create failed: no such file"):
        console.copy("abc", "shop.web.once.1", ["nothing"], tty=False)
    assert any(asked.startswith("DELETE /containers/new") for asked in copied.asked)


def test_signals_and_sizes_of_what_is_over(copied: FakeDocker, console: DockerConsole) -> None:
    """Neither fails for a process that has ended."""
    process = console.copy("abc", "shop.web.once.1", [], tty=True)
    process.signal("SIGTERM")
    process.resize(24, 80)
    process.end_input()
    process.write(b"late")
    assert b"".join(data for _, data in process.output()).endswith(b"over\n")
    process.close()


def test_the_log_of_a_container(docker: FakeDocker, console: DockerConsole) -> None:
    """Lines of both outputs come in order, and one that Docker has cut is whole again."""
    lines = [
        frame(1, f"{STAMP} long ".encode()),
        frame(2, f"{STAMP} error\n".encode()),
        frame(1, f"{STAMP} line\n".encode()),
    ]
    docker.answers["GET /containers/abc/logs"] = (200, b"".join(lines))
    stream = console.log("abc", STAMP.encode())
    assert stream is not None
    assert list(stream.all()) == [f"{STAMP} error".encode(), f"{STAMP} long line".encode()]
    stream.close()
    assert "since=1767323045.000000001" in docker.asked[0]
    assert console.log("gone") is None
    docker.answers["GET /containers/abc/logs"] = (501, {"message": "the log driver does not support reading"})
    assert console.log("abc") is None
    docker.answers["GET /containers/abc/logs"] = (500, {"message": "broken"})
    with pytest.raises(EngineFault, match="Docker: broken"):
        console.log("abc")


def test_an_engine_that_is_not_there(environment: dict[str, str], tmp_path: Path) -> None:
    """The error names the address and what to do."""
    wire = Wire({"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"})
    with pytest.raises(EngineFault, match="Docker is not running: no response at unix://"):
        wire.ask("GET", "/version")
    with pytest.raises(EngineFault, match="unknown scheme"):
        Wire({"DOCKER_HOST": "gopher://there"}).ask("GET", "/version")


def test_a_refusal(environment: dict[str, str]) -> None:
    """A refusal has the status and the message of Docker."""
    with pytest.raises(Refusal, match="no GET /nothing") as caught:
        Wire(environment).ask("GET", "/nothing")
    assert caught.value.status == 404


def test_containers_of_killed_commands(docker: FakeDocker, console: DockerConsole) -> None:
    """Only those of commands whose process holds no lock are abandoned."""
    rows = [row("app", "10.1.0.2"), *(row(name, "", **{LABEL_ROLE: ROLE_CONSOLE}) for name in ("used", "left"))]
    docker.answers["GET /containers/json"] = (200, rows)
    assert [each.name for each in abandoned(console.containers("shop"), lambda name: name == "used")] == ["left"]


def test_an_address_that_no_rollout_takes_next() -> None:
    """It is far from the highest one if the network is large, and any free one in a small network."""
    used = {IPv4Address("10.1.0.7")}
    large = distant_address(IPv4Network("10.1.0.0/16"), used)
    assert int(large) - int(IPv4Address("10.1.0.7")) >= 32
    assert distant_address(IPv4Network("10.1.0.0/29"), {IPv4Address("10.1.0.2")}) == IPv4Address("10.1.0.3")
    with pytest.raises(EngineFault, match=r"no free address in 10.1.0.0/30"):
        distant_address(IPv4Network("10.1.0.0/30"), {IPv4Address("10.1.0.2")})
