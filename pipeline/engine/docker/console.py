"""Commands in Docker's containers, with the user's own terminal."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.container import Container
from pipeline.engine.docker.faults import TIMEOUT, UNREADABLE
from pipeline.engine.docker.frames import STDERR, FrameReader
from pipeline.engine.docker.log_stream import DockerLogStream, unix_time
from pipeline.engine.docker.networks import distant_address, subnet_of
from pipeline.engine.docker.translation import address_in, container_from_list
from pipeline.engine.docker.wire import Opened, Refusal, Wire, end_input
from pipeline.engine.labels import (
    LABEL_HOME,
    LABEL_PIPELINE,
    LABEL_RELEASE,
    LABEL_ROLE,
    LABEL_SERVICE,
    ROLE_CONSOLE,
)

_CHUNK = 64 * 1024
_POLL_INTERVAL = 0.02
_COPIED_LABELS = (LABEL_PIPELINE, LABEL_RELEASE, LABEL_SERVICE)
_COPIED = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "StopSignal", "Volumes")


class DockerConsole:
    """Commands in the containers that carry the label of `home`. Each method needs one or two requests.

    `on_close` is called by `close`, and may be called again. Docker may take `timeout` seconds for each response.
    """

    missing: Mapping[str, EngineFault] = MappingProxyType({})

    def __init__(
        self,
        home: str,
        environment: Mapping[str, str] = os.environ,
        *,
        on_close: Callable[[], None] = lambda: None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._home = home
        self._environment = environment
        self._timeout = timeout
        self._on_close = on_close
        self._found: Wire | None = None

    @property
    def _wire(self) -> Wire:
        self._found = self._found or Wire(self._environment, self._timeout)
        return self._found

    def containers(self, pipeline: str) -> list[Container]:
        """Return every container of a pipeline, in any state and of any role."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}"]
        with _translated():
            rows = self._wire.ask("GET", "/containers/json", all="1", filters=json.dumps({"label": labels}))
        return [container_from_list(row) for row in rows]

    def has(self, container: str) -> bool:
        """Return whether Docker has a container of the home by that name or id."""
        try:
            labels = self._wire.ask("GET", f"/containers/{container}/json")["Config"]["Labels"]
        except Refusal as refusal:
            if refusal.status == 404:
                return False
            raise EngineFault(f"Docker: {refusal.message}") from refusal
        return bool((labels or {}).get(LABEL_HOME) == self._home)

    def log(
        self, container: str, since: bytes = b"", *, follow: bool = False, tail: int | None = None
    ) -> DockerLogStream | None:
        """Return the output that Docker has kept, or None if the container is gone, or its log driver keeps none."""
        return self._kept(f"/containers/{container}", since, follow=follow, tail=tail)

    def task_log(self, task: str, since: bytes, follow: bool, tail: int | None) -> DockerLogStream | None:
        """Return the output of a task of the Swarm that Docker manages, or None if there is none any more."""
        return self._kept(f"/tasks/{task}", since, follow=follow, tail=tail)

    def _kept(self, path: str, since: bytes, *, follow: bool, tail: int | None) -> DockerLogStream | None:
        query: dict[str, Any] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        if tail is not None:
            query["tail"] = tail
        if since:
            query["since"] = unix_time(since)
        try:
            return DockerLogStream(self._wire.open("GET", f"{path}/logs", endless=follow, **query))
        except Refusal as refusal:
            if refusal.status == 404 or UNREADABLE in refusal.message:
                return None
            raise EngineFault(f"Docker: {refusal.message}") from refusal

    def exec(self, container: str, command: Sequence[str], *, tty: bool) -> _Attached:
        """Start a command in a container that runs."""
        wanted = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": tty, "Cmd": list(command)}
        with _translated():
            number = self._wire.ask("POST", f"/containers/{container}/exec", wanted)["Id"]
            opened = self._wire.open(
                "POST", f"/exec/{number}/start", {"Detach": False, "Tty": tty}, upgrade=True, endless=True
            )
        return _Exec(self._wire, f"/exec/{number}", opened, tty=tty)

    def copy(
        self, container: str, name: str, command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None = None
    ) -> _Attached:
        """Start a container like another one, without its port and its labels. Docker removes it after its end."""
        wire = self._wire
        with _translated():
            model = wire.ask("GET", f"/containers/{container}/json")
            wanted = self._copied(model, command, tty=tty, entrypoint=entrypoint)
            path = f"/containers/{wire.ask('POST', '/containers/create', wanted, name=name)['Id']}"
            with ExitStack() as failed:
                failed.callback(_remove, wire, path)
                self._join(path, model)
                attached = wire.open(
                    "POST", f"{path}/attach", upgrade=True, endless=True, stream=1, stdin=1, stdout=1, stderr=1
                )
                failed.enter_context(attached.connection)
                # Asked before the start: afterwards, the container may be gone.
                ended = wire.open("POST", f"{path}/wait", endless=True, condition="removed")
                failed.enter_context(ended.connection)
                wire.ask("POST", f"{path}/start")
                failed.pop_all()
        return _Copy(wire, path, attached, ended, tty=tty)

    def _join(self, path: str, model: Mapping[str, Any]) -> None:
        """Connect a container to the networks that `model` is in besides its own, without its names there."""
        own = model["HostConfig"]["NetworkMode"]
        for network, endpoint in model["NetworkSettings"]["Networks"].items():
            if network != own:
                is_chosen = bool((endpoint.get("IPAMConfig") or {}).get("IPv4Address"))
                address = {"IPAMConfig": {"IPv4Address": str(self._address(network))}} if is_chosen else {}
                number = path.rpartition("/")[2]
                self._wire.ask("POST", f"/networks/{network}/connect", {"Container": number, "EndpointConfig": address})

    def remove(self, container: str) -> None:
        """Remove a container, running or not. Does nothing if it is gone."""
        _remove(self._wire, f"/containers/{container}")

    def close(self) -> None:
        """Do what `on_close` does. Each request has a connection of its own."""
        self._on_close()

    def _copied(
        self, model: Mapping[str, Any], command: Sequence[str], *, tty: bool, entrypoint: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return the request for a container like `model`."""
        config, network = model["Config"], model["HostConfig"]["NetworkMode"]
        wanted = {key: config[key] for key in _COPIED if config.get(key) is not None}
        if entrypoint is not None:
            wanted |= {"Entrypoint": list(entrypoint)}
        if command:
            wanted |= {"Cmd": list(command)}
        labels = {key: config["Labels"][key] for key in _COPIED_LABELS if key in config["Labels"]}
        address = {"IPAMConfig": {"IPv4Address": str(self._address(network))}}
        return wanted | {
            "Image": model["Image"],
            "Labels": {**labels, LABEL_HOME: self._home, LABEL_ROLE: ROLE_CONSOLE},
            "HostConfig": {
                **model["HostConfig"],
                "PortBindings": {},
                "RestartPolicy": {"Name": "no"},
                "AutoRemove": True,
                # Its output has a reader already.
                "LogConfig": {"Type": "none", "Config": {}},
            },
            "NetworkingConfig": {"EndpointsConfig": {network: address}},
            "Healthcheck": {"Test": ["NONE"]},
            "Tty": tty,
            "OpenStdin": True,
            # The process reads the end of its input once this one is gone.
            "StdinOnce": True,
            **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), True),
        }

    def _address(self, network: str) -> IPv4Address:
        """Choose a free address that no rollout is about to choose."""
        found = self._wire.ask("GET", f"/networks/{network}")
        labels = json.dumps({"label": [f"{LABEL_HOME}={self._home}"], "network": [network]})
        rows = self._wire.ask("GET", "/containers/json", all="1", filters=labels)
        used = {each["IPv4Address"].partition("/")[0] for each in (found.get("Containers") or {}).values()}
        used |= {address_in(row, network) for row in rows}
        return distant_address(IPv4Network(subnet_of(found)), {IPv4Address(address) for address in used if address})


class _Attached:
    """A process whose input and output come over one connection."""

    def __init__(self, wire: Wire, path: str, opened: Opened, *, tty: bool) -> None:
        self._wire = wire
        self._path = path
        self._connection, self._rest = opened
        self._tty = tty

    def output(self) -> Iterator[tuple[bool, bytes]]:
        """Yield what the process writes."""
        frames = FrameReader()
        data = self._rest
        while True:
            if self._tty:
                if data:
                    yield False, data
            else:
                yield from ((source == STDERR, content) for source, content in frames.feed(data))
            try:
                data = self._connection.recv(_CHUNK)
            except OSError as error:
                raise EngineFault(f"lost the connection to Docker: {error}") from error
            if not data:
                return

    def write(self, data: bytes) -> None:
        """Write to the process's input."""
        with suppress(OSError):
            self._connection.sendall(data)

    def end_input(self) -> None:
        """Close the process's input."""
        end_input(self._connection)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        with suppress(Refusal, EngineFault):
            self._wire.ask("POST", f"{self._path}/resize", h=rows, w=columns)

    def signal(self, name: str) -> None:
        """Docker has no signals for the commands of `exec`."""

    def wait(self) -> int:
        """Return the exit code."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection. A thread that reads the output then comes to its end."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class _Exec(_Attached):
    """A command in a container of the application."""

    def wait(self) -> int:
        """Return the exit code. Docker notes it a moment after the output has ended."""
        with _translated():
            while (state := self._wire.ask("GET", f"{self._path}/json"))["Running"]:
                time.sleep(_POLL_INTERVAL)
        return int(state["ExitCode"])


class _Copy(_Attached):
    """A command in a container of its own."""

    def __init__(self, wire: Wire, path: str, attached: Opened, ended: Opened, *, tty: bool) -> None:
        super().__init__(wire, path, attached, tty=tty)
        self._ended, self._code = ended

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process."""
        with suppress(Refusal, EngineFault):
            self._wire.ask("POST", f"{self._path}/kill", signal=name)

    def wait(self) -> int:
        """Return the exit code, when Docker has removed the container."""
        try:
            while part := self._ended.recv(_CHUNK):
                self._code += part
            return int(json.loads(self._code)["StatusCode"])
        except (OSError, ValueError, KeyError) as error:
            raise EngineFault(f"lost the connection to Docker: {error}") from error

    def close(self) -> None:
        """Close the connections and remove the container."""
        super().close()
        self._ended.close()
        with suppress(EngineFault):
            _remove(self._wire, self._path)


def _remove(wire: Wire, path: str) -> None:
    try:
        wire.ask("DELETE", path, force=1, v=1)
    except Refusal as refusal:
        # 409: Docker is removing it already.
        if refusal.status not in (404, 409):
            raise EngineFault(f"Docker: {refusal.message}") from refusal


@contextmanager
def _translated() -> Iterator[None]:
    """Raise `StageFailed` for what Docker refuses because of the command or the container."""
    try:
        yield
    except Refusal as refusal:
        kind = EngineFault if refusal.status >= 500 and "OCI runtime" not in refusal.message else StageFailed
        raise kind(f"Docker: {refusal.message}") from refusal
