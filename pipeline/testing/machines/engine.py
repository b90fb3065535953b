"""The Docker Engine of a machine made of namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from pipeline.base.errors import SystemFault
from pipeline.testing.machines.keeper import control_group
from pipeline.testing.machines.machine import COMMAND_TIMEOUT, Machine, children

_DEADLINE = 60.0
# Seconds for the answer to the question whether the engine answers.
_ANSWER_TIMEOUT = 10.0
# Most lines of the log, and of what the goroutines do.
_LOG_LINES, _STACK_LINES = 40, 400
_DUMPS = "goroutine-stacks-*.log"
# In the stack of each goroutine that does something with a container.
_OF_CONTAINERS = "docker/docker/daemon.(*Daemon)"


class MachineEngine:
    """A `dockerd` on a machine. Its networks have addresses of `pool`, each 128 of them.

    Images and containers survive a power cut, as on a disk. `options` are more options of `dockerd`.
    """

    def __init__(self, machine: Machine, pool: IPv4Network, options: Sequence[str] = ()) -> None:
        self.socket = machine.run_folder / "docker.sock"
        self.address = f"unix://{self.socket}"
        """What `DOCKER_HOST` must be for it, on this machine."""
        self.data = machine.folder / "data"
        """The folder with its images and containers."""
        self._machine = machine
        self._options = [f"--default-address-pool=base={pool},size=25", "--ip6tables=false", *options]
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `dockerd`. Returns before the engine answers."""
        group = control_group(self._machine.folder.parent)
        options = [f"--data-root={self.data}", f"--cgroup-parent=/{group}", *self._options]
        self._daemon = self._machine.start(["dockerd", *options])

    def answers(self) -> bool:
        """Return whether the engine answers, within ten seconds."""
        try:
            command = self._docker("info")
            done = subprocess.run(command, capture_output=True, check=False, timeout=_ANSWER_TIMEOUT)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def await_answer(self) -> None:
        """Wait until the engine answers. Raises `SystemFault` if it does not within a minute."""
        deadline = time.monotonic() + _DEADLINE
        while not self.answers():
            if time.monotonic() > deadline:
                raise SystemFault(f"the engine of {self._machine.name} does not answer\n{self.diagnosis()}")
            time.sleep(0.05)

    def load(self, archive: Path) -> None:
        """Load the images of an archive that `docker save` wrote."""
        self.docker("load", "--quiet", "--input", str(archive))

    def docker(self, *words: str) -> str:
        """Run a command of `docker` and return its output. Raises `SystemFault` if it fails or does not end."""
        command = self._docker(*words)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT)
        except subprocess.TimeoutExpired as expired:
            raise SystemFault(f"{expired}\n{self.diagnosis()}") from None
        if done.returncode:
            raise SystemFault(f"docker {' '.join(words)} on {self._machine.name}: {done.stderr.strip()}")
        return done.stdout

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `dockerd` by a signal. Returns when it has exited. Raises `SystemFault` if it does not."""
        assert self._daemon is not None
        os.kill(children(self._daemon.pid)[0], number)
        try:
            self._daemon.wait(timeout=_DEADLINE)
        except subprocess.TimeoutExpired:
            raise SystemFault(f"dockerd does not end after {number.name}\n{self.diagnosis()}") from None

    def after_power_cut(self) -> None:
        """Forget `dockerd`, which has ended with its machine."""
        if self._daemon is not None:
            self._daemon.wait()
            self._daemon = None

    def diagnosis(self) -> str:
        """Return the last lines of the engine's log, and what it is doing: the stacks of its goroutines."""
        folder = self._machine.folder
        log = folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join((f"--- log of {self._machine.name}", *lines[-_LOG_LINES:], *self._stacks()))

    def _stacks(self) -> Iterator[str]:
        """Yield the stacks of the goroutines that work on containers. `dockerd` writes them after SIGUSR1."""
        daemon = self._daemon
        if daemon is None or daemon.poll() is not None or not (running := children(daemon.pid)):
            yield "--- dockerd has ended"
            return
        folder = self._machine.run_folder / "docker"
        for earlier in folder.glob(_DUMPS):
            earlier.unlink()
        os.kill(running[0], signal.SIGUSR1)
        deadline = time.monotonic() + _ANSWER_TIMEOUT
        while not (found := _written(folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        working = [stack for stack in found.split("\n\n") if _OF_CONTAINERS in stack]
        yield f"--- {len(working)} goroutines of dockerd work on containers"
        yield from "\n\n".join(working).splitlines()[:_STACK_LINES]

    def _docker(self, *words: str) -> list[str]:
        return ["docker", "--host", self.address, *words]


def _written(folder: Path) -> str:
    """Return the newest dump of goroutines in a folder, empty if there is none that is complete."""
    dumps = sorted(folder.glob(_DUMPS))
    text = dumps[-1].read_text(errors="replace") if dumps else ""
    return text if text.endswith("\n") else ""
