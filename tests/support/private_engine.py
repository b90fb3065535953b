"""A Docker Engine for one test, which may stop, kill and reboot it without affecting others.

It runs on a machine made of namespaces. One signal ends the daemon, containerd, the containers, their mounts and
bridges at once, as a power cut would. Its files stay, as they would on a disk. A network connects it to this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from pipeline.testing.machines.keeper import kept_folder
from pipeline.testing.machines.lan import Lan
from pipeline.testing.machines.server import Server
from pipeline.testing.machines.site import obstacle
from tests.support.engine_disk import put_image
from tests.support.namespace import entered

__all__ = ["PrivateEngine", "diagnosis", "is_private", "obstacle", "other_engine", "private_engine"]

_HOST = "DOCKER_HOST"
# What a container leaves in the folder of an engine's data. Images and what they consist of are elsewhere.
_OF_CONTAINERS = ("containers", "containerd", "network")


class PrivateEngine:
    """One `dockerd` on a machine made of namespaces. With `live_restore` its containers survive its end.

    With `rules` it has Docker's own rules for packets.
    """

    def __init__(self, lan: Lan, root: Path, *, live_restore: bool = False, rules: bool = False) -> None:
        options = [
            f"--live-restore={str(live_restore).lower()}",
            # Without rules it forwards from the cable to its bridges and translates no addresses.
            *(f"{name}={str(rules).lower()}" for name in ("--iptables", "--ip-masq")),
        ]
        self._lan = lan
        self._pool: IPv4Network = lan.spare[0]
        self._server = Server(lan, root, "engine", self._pool, options=options)
        self.socket = self._server.engine.socket
        self.address = self._server.engine.address
        self.host = self._server.address
        """The address of the machine."""

    def put_image(self, image: str) -> None:
        """Let it begin with an image of the engine that `DOCKER_HOST` names."""
        put_image(image, self._server.engine.data)

    def start(self) -> None:
        """Start `dockerd`, and its machine if that is off. Returns before the engine answers."""
        self._server.start()
        self._lan.route(self._pool, self._server.name)

    def start_if_off(self) -> None:
        """Start the engine if it is off, and wait until it answers."""
        if not self._server.machine.is_on:
            self.start()
            self.await_answer()

    def await_answer(self) -> None:
        """Wait until the engine answers."""
        self._server.engine.await_answer()

    @contextmanager
    def network(self) -> Iterator[None]:
        """Within the block, this thread and the processes that it starts are in the network of the machine."""
        descriptor = os.open(f"/proc/{self._server.machine.init}/ns/net", os.O_RDONLY)
        try:
            with entered(descriptor):
                yield
        finally:
            os.close(descriptor)

    def answers(self) -> bool:
        """Return whether the engine answers."""
        return self._server.engine.answers()

    def docker(self, *words: str) -> str:
        """Run a command of `docker` and return its output. Raises `SystemFault` if it fails or does not end."""
        return self._server.engine.docker(*words)

    def diagnosis(self) -> str:
        """Return the last lines of the engine's log, and what it is doing."""
        return self._server.engine.diagnosis()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `dockerd` by a signal. Returns when it has exited."""
        self._server.engine.end(number)

    def kill(self, pid: int) -> None:
        """Send SIGKILL to a process. `pid` is its number inside the machine."""
        self._server.machine.kill(pid)

    def freeze(self) -> None:
        """Stop containerd: the engine answers, and its calls that concern a process hang. `cut_power` ends it."""
        machine = self._server.machine
        machine.run("kill", "-STOP", machine.run("pidof", "containerd").strip())

    def cut_power(self) -> None:
        """Send SIGKILL to every process of the machine. Its mounts and bridges are gone, its files stay."""
        self._server.cut_power()

    def clear(self) -> None:
        """Cut the power and delete all containers and networks. Images stay. `start` starts the engine again.

        Unlike their removal, this needs no engine that answers.
        """
        self.cut_power()
        for name in _OF_CONTAINERS:
            shutil.rmtree(self._server.engine.data / name, ignore_errors=True)


_RUNNING: dict[str, PrivateEngine] = {}


def is_private(address: str) -> bool:
    """Return whether an engine of this process has this address. Its files go with it, and all its containers."""
    return address in _RUNNING


def diagnosis(address: str) -> str:
    """Return what a private engine is doing, for the report of a test. `address` is what `DOCKER_HOST` names."""
    engine = _RUNNING.get(address)
    return engine.diagnosis() if engine else f"the engine at {address or 'the usual address'} is not of this test"


@contextmanager
def other_engine(image: str, *, live_restore: bool = False, rules: bool = False) -> Iterator[PrivateEngine]:
    """Start an engine that has `image`, beside the one that `DOCKER_HOST` names."""
    with kept_folder("engine-") as root, ExitStack() as stack:
        lan = Lan(root)
        stack.callback(lan.switch_off)
        lan.switch_on()
        engine = PrivateEngine(lan, root, live_restore=live_restore, rules=rules)
        stack.callback(engine.cut_power)
        engine.put_image(image)
        engine.start()
        engine.await_answer()
        _RUNNING[engine.address] = engine
        stack.callback(_RUNNING.pop, engine.address)
        yield engine


@contextmanager
def private_engine(image: str, *, live_restore: bool = False, rules: bool = False) -> Iterator[PrivateEngine]:
    """Start an engine that has `image`. Meanwhile `DOCKER_HOST` names it, for this process and its children."""
    previous = os.environ.get(_HOST)
    with other_engine(image, live_restore=live_restore, rules=rules) as engine:
        os.environ[_HOST] = engine.address
        try:
            yield engine
        finally:
            os.environ.pop(_HOST, None)
            if previous is not None:
                os.environ[_HOST] = previous
