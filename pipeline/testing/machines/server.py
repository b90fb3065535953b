"""A machine of namespaces with an engine, an address on the network and, if wanted, an SSH server."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from pipeline.testing.machines.engine import MachineEngine
from pipeline.testing.machines.lan import Lan
from pipeline.testing.machines.machine import Machine
from pipeline.testing.machines.ssh import SshAccess

_SSH_PORT = 22


class Server:
    """A server called `name`, whose files are in `folder/name`. `options` are more options of `dockerd`."""

    def __init__(
        self,
        lan: Lan,
        folder: Path,
        name: str,
        pool: IPv4Network,
        *,
        access: SshAccess | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.address = str(lan.address(name))
        self.machine = Machine(name, folder / name)
        self.engine = MachineEngine(self.machine, pool, options)
        self._lan = lan
        self._access = access
        self._sshd: subprocess.Popen[bytes] | None = None
        if access is not None:
            access.add(name, self.address, _SSH_PORT)

    def start(self) -> None:
        """Start the engine, and the machine with its SSH server if it is off. Returns before the engine answers."""
        if not self.machine.is_on:
            self.machine.switch_on()
            self._lan.connect(self.machine)
            self._start_sshd()
        self.engine.start()

    def cut_power(self) -> None:
        """Send SIGKILL to every process of the machine. Its files stay. Does nothing if it is off."""
        self.machine.cut_power()
        self.engine.after_power_cut()
        if self._sshd is not None:
            self._sshd.wait()
            self._sshd = None

    def cut_cable(self) -> None:
        """Cut the cable. The machine goes on, and its connections stay open."""
        self._lan.cut(self.name)

    def mend_cable(self) -> None:
        """Return the cable."""
        self._lan.mend(self.name)

    def _start_sshd(self) -> None:
        if self._access is not None:
            (self.machine.run_folder / "sshd").mkdir(mode=0o755)
            self._sshd = self.machine.start(self._access.server(self.address, _SSH_PORT))
