"""Client programs of Debian in a container without a network, which a cable joins to this machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.docker.docker_cli import docker, process_of
from tests.docker.far_client import Cable
from tests.support.waiting import COMMAND_TIMEOUT

IMAGE = "penstock-servers:bookworm"
_ENDED = "/ended"


class ClientContainer:
    """The container. The machine has `host`, the client `address`. Removed by `close`."""

    def __init__(self) -> None:
        self._name = docker("run", "--detach", "--rm", "--network=none", IMAGE, "sleep", "infinity").strip()
        self._cable = Cable(process_of(self._name))
        self.host, self.address = self._cable.host, self._cable.address

    def run(self, *command: str) -> str:
        """Run a program and return its output."""
        return docker("exec", self._name, *command).strip()

    def session(self, *command: str) -> Session:
        """Start a program that answers lines. Use it in a `with` statement."""
        return Session("docker", "exec", "--interactive", self._name, *command)

    @contextmanager
    def repeating(self, command: str) -> Iterator[list[str]]:
        """Run a command of the shell again and again during the block. Yield the lines that it has printed so far."""
        lines = list[str]()
        script = f"until [ -e {_ENDED} ]; do {command} || echo exit code $?; done 2>&1"
        with subprocess.Popen(["docker", "exec", self._name, "sh", "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            printed = process.stdout
            reader = threading.Thread(target=lambda: lines.extend(line.decode().strip() for line in printed))
            reader.start()
            try:
                yield lines
            finally:
                self.run("touch", _ENDED)
                reader.join()

    def close(self) -> None:
        """Remove the container and the cable."""
        docker("rm", "--force", self._name)
        self._cable.close()


class Session:
    """A program that answers lines on its standard input. It ends with the `with` statement."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=COMMAND_TIMEOUT)

    def ask(self, line: str, answers: int = 1) -> list[str]:
        """Write a line and return the lines that answer it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        return [self._process.stdout.readline().strip() for _ in range(answers)]
