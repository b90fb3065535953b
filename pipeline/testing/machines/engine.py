"""The Docker Engine of a machine made of namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from pipeline.base.errors import SystemFault
from pipeline.testing.machines.keeper import control_group
from pipeline.testing.machines.machine import Machine, children

_DEADLINE = 60.0


class MachineEngine:
    """A `dockerd` on a machine. Its networks have addresses of `pool`, each 128 of them.

    Images and containers survive a power cut, as on a disk. `options` are more options of `dockerd`.
    """

    def __init__(self, machine: Machine, pool: IPv4Network, options: Sequence[str] = ()) -> None:
        self.socket = machine.run_folder / "docker.sock"
        self.address = f"unix://{self.socket}"
        """What `DOCKER_HOST` must be for it, on this machine."""
        self._machine = machine
        self._options = [f"--default-address-pool=base={pool},size=25", "--ip6tables=false", *options]
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `dockerd`. Returns before the engine answers."""
        folder = self._machine.folder
        options = [f"--data-root={folder}/data", f"--cgroup-parent=/{control_group(folder.parent)}", *self._options]
        self._daemon = self._machine.start(["dockerd", *options])

    def answers(self) -> bool:
        """Return whether the engine answers."""
        return subprocess.run(self._docker("info"), capture_output=True, check=False).returncode == 0

    def await_answer(self) -> None:
        """Wait until the engine answers. Raises `SystemFault` if it does not within a minute."""
        deadline = time.monotonic() + _DEADLINE
        while not self.answers():
            if time.monotonic() > deadline:
                log = (self._machine.folder / "log").read_text(errors="replace").splitlines()
                last = "\n".join(log[-5:])
                raise SystemFault(f"the engine of {self._machine.name} does not answer; its last lines:\n{last}")
            time.sleep(0.05)

    def load(self, archive: Path) -> None:
        """Load the images of an archive that `docker save` wrote."""
        self.docker("load", "--quiet", "--input", str(archive))

    def docker(self, *words: str) -> str:
        """Run a command of `docker` and return its output. Raises `SystemFault` if it fails."""
        done = subprocess.run(self._docker(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemFault(f"docker {' '.join(words)} on {self._machine.name}: {done.stderr.strip()}")
        return done.stdout

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `dockerd` by a signal. Returns when it has exited."""
        assert self._daemon is not None
        os.kill(children(self._daemon.pid)[0], number)
        self._daemon.wait(timeout=_DEADLINE)

    def after_power_cut(self) -> None:
        """Forget `dockerd`, which has ended with its machine."""
        if self._daemon is not None:
            self._daemon.wait()
            self._daemon = None

    def _docker(self, *words: str) -> list[str]:
        return ["docker", "--host", self.address, *words]
