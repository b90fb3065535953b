"""Clients in a network namespace, joined to the machine by a cable. It stands for another machine."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.namespace import Namespace
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE


class Cable:
    """Joins this machine to the network namespace of a process. It has `host` here and `address` there."""

    def __init__(self, pid: int) -> None:
        number, self._name = random.SystemRandom().randrange(256), f"far{os.getpid()}"
        self.host, self.address = f"10.199.{number}.1", f"10.199.{number}.2"
        _ip(f"link add {self._name} type veth peer name cable netns {pid}")
        _ip(f"address add {self.host}/24 dev {self._name}")
        _ip(f"link set {self._name} up")
        for line in (
            f"address add {self.address}/24 dev cable",
            "link set cable up",
            f"route add default via {self.host}",
        ):
            subprocess.run(
                ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *line.split()], check=True, timeout=COMMAND_TIMEOUT
            )

    def close(self) -> None:
        """Remove the cable."""
        with suppress(subprocess.CalledProcessError):
            _ip(f"link delete {self._name}")


class FarClient:
    """The namespace. The machine has `host`, the client `address`. Removed by `close`."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self._cable = Cable(self.namespace.pid)
        self.host, self.address = self._cable.host, self._cable.address

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """Return a socket of the client."""
        with self.namespace.entered():
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(DEADLINE)
        return made

    def connect(self, port: int, kind: socket.SocketKind) -> socket.socket:
        """Return a flow to the machine. Raises `OSError`."""
        made = self.socket(kind)
        try:
            made.connect((self.host, port))
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Remove the cable and the namespace."""
        self._cable.close()
        self.namespace.close()


class FarFlows:
    """New flows without pause. `answers`: the first lines that came back. `failures`: what went wrong."""

    def __init__(self, client: FarClient, port: int, kind: socket.SocketKind) -> None:
        self._client, self._port, self._kind = client, port, kind
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Open flows until the block ends."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._client.connect(self._port, self._kind) as flow:
                    flow.sendall(b"hello\n")
                    self.answers.append(flow.recv(200).decode())
            except OSError as error:
                self.failures.append(f"{time.monotonic():.3f}: {error}")
            self._ended.wait(0.01)


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True, timeout=COMMAND_TIMEOUT)
