"""A Docker Engine for one test, which may stop, kill and reboot it without affecting others.

It runs in its own namespaces for processes, mounts and networks. One signal ends the daemon, containerd, the
containers, their mounts and bridges at once, as a power cut would. Its files stay, as they would on a disk. A pair of
virtual interfaces connects it to this machine, with a range of addresses that is not in use.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from tests.support.namespace import entered
from tests.support.waiting import DEADLINE, until

_HOST = "DOCKER_HOST"
# The first process of the namespace. Orphans become its children, and it must leave no zombies.
_INIT = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(flush=True); signal.pause()"


def obstacle() -> str:
    """Return what keeps this machine from running a private engine, or an empty text."""
    if os.geteuid() != 0:
        return "a private engine needs root"
    missing = [name for name in ("dockerd", "containerd", "unshare", "nsenter", "ip") if shutil.which(name) is None]
    return f"a private engine needs {missing[0]}" if missing else ""


class PrivateEngine:
    """One `dockerd` on a machine made of namespaces. With `live_restore` its containers survive its end.

    With `rules` it has Docker's own rules for packets.
    """

    def __init__(self, root: Path, *, live_restore: bool = False, rules: bool = False) -> None:
        self.root = root
        self.socket = root / "docker.sock"
        self.address = f"unix://{self.socket}"
        self._pool = _unused_range()
        self.host = ""
        """The address of the machine, once it is on."""
        self._cable = f"own{random.randrange(16**8):08x}"
        self._live_restore = live_restore
        self._rules = rules
        self._machine: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `dockerd`, and its machine if that is off. Returns before the engine answers."""
        if self._machine is None:
            self._switch_on()
        with (self.root / "log").open("ab") as log:
            self._daemon = subprocess.Popen([*self._inside(), *self._command()], stdout=log, stderr=log)

    def await_answer(self) -> None:
        """Wait until the engine answers."""
        until(self.answers, "a response of the engine")

    @contextmanager
    def network(self) -> Iterator[None]:
        """Within the block, this thread and the processes that it starts are in the network of the machine."""
        assert self._machine is not None
        descriptor = os.open(f"/proc/{_children(self._machine.pid)[0]}/ns/net", os.O_RDONLY)
        try:
            with entered(descriptor):
                yield
        finally:
            os.close(descriptor)

    def answers(self) -> bool:
        """Return whether the engine answers."""
        command = ["docker", "--host", self.address, "info"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `dockerd` by a signal. Returns when it has exited."""
        assert self._daemon is not None
        os.kill(int(_children(self._daemon.pid)[0]), number)
        self._daemon.wait(timeout=DEADLINE)

    def kill(self, pid: int) -> None:
        """Send SIGKILL to a process. `pid` is its number inside the machine."""
        subprocess.run([*self._inside(), "kill", "-KILL", str(pid)], check=True)

    def cut_power(self) -> None:
        """Send SIGKILL to every process of the machine. Its mounts and bridges are gone, its files stay."""
        if self._machine is not None:
            self._machine.kill()
            self._machine.wait()
            if self._daemon is not None:
                self._daemon.wait()
            self._machine = self._daemon = None
        # The other end disappears only with the last process of the machine, which may take longer.
        subprocess.run(["ip", "link", "delete", self._cable], check=False, capture_output=True)
        shutil.rmtree(self.root / "run", ignore_errors=True)
        for name in ("docker.sock", "pid"):
            (self.root / name).unlink(missing_ok=True)

    def _switch_on(self) -> None:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net"]
        command += [sys.executable, "-c", _INIT]
        self._machine = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert self._machine.stdout is not None
        with self._machine.stdout as said:
            assert said.readline()
        self._lay_cable(_children(self._machine.pid)[0])

    def _lay_cable(self, init: str) -> None:
        near, far = list(next(self._pool.subnets(new_prefix=30)).hosts())
        self.host = str(far)
        for words in (
            f"link add {self._cable} type veth peer name cable netns {init}",
            f"address add {near}/30 dev {self._cable}",
            f"link set {self._cable} up",
            f"route add {self._pool} via {far}",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        for words in ("link set lo up", f"address add {far}/30 dev cable", "link set cable up"):
            subprocess.run([*self._inside(), "ip", *words.split()], check=True)

    def _inside(self) -> list[str]:
        assert self._machine is not None
        return ["nsenter", "--target", _children(self._machine.pid)[0], "--mount", "--pid", "--net", "--"]

    def _command(self) -> list[str]:
        return [
            "dockerd",
            f"--data-root={self.root}/data",
            f"--exec-root={self.root}/run",
            f"--pidfile={self.root}/pid",
            f"--host={self.address}",
            # The first half is for the cable.
            f"--default-address-pool=base={list(self._pool.subnets())[1]},size=24",
            f"--live-restore={str(self._live_restore).lower()}",
            # Without rules it forwards from the cable to its bridges and translates no addresses.
            *(f"{name}={str(self._rules).lower()}" for name in ("--iptables", "--ip-masq")),
            "--ip6tables=false",
        ]


@contextmanager
def other_engine(image: str, *, live_restore: bool = False, rules: bool = False) -> Iterator[PrivateEngine]:
    """Start an engine that has `image`, beside the one that `DOCKER_HOST` names."""
    # A socket's path may have at most 107 characters, and containerd adds many.
    root = Path(tempfile.mkdtemp(prefix="engine-"))
    engine = PrivateEngine(root, live_restore=live_restore, rules=rules)
    try:
        engine.start()
        engine.await_answer()
        command = ["docker", "--host", engine.address]
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run([*command, "load", "--quiet"], stdin=saved.stdout, capture_output=True, check=True)
        subprocess.run([*command, "image", "inspect", image], capture_output=True, check=True)
        yield engine
    finally:
        engine.cut_power()
        shutil.rmtree(root, ignore_errors=True)


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


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _unused_range() -> IPv4Network:
    """Return a range of addresses that no route of this machine overlaps."""
    routes = json.loads(subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, check=True).stdout)
    known = [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    while True:
        candidate = IPv4Network(f"10.{random.randrange(128, 192)}.{random.randrange(0, 256, 16)}.0/20")
        if not any(candidate.overlaps(network) for network in known):
            return candidate
