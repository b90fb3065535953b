"""A machine made of namespaces, with its own processes, mounts, host name, network and folder `/run`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.base.errors import SystemFault

COMMAND_TIMEOUT = 180.0
"""Seconds after which a program on a machine, or for one, is ended."""

# The first process. The machine ends with its input, so also when the process that switched it on is killed. Orphans
# become its children, and it must leave no zombies.
_INIT = """
import signal, socket, subprocess, sys
name, run = sys.argv[1:]
socket.sethostname(name)
subprocess.run(["mount", "--bind", run, "/run"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(flush=True)
sys.stdin.buffer.read()
"""


class Machine:
    """A machine called `name`. What is in its folder `/run` is in `folder/run` here, also its sockets.

    It may be switched on again after `cut_power`. Its other files are those of this machine, and so stay.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.run_folder = folder / "run"
        self._holder: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        """Whether the machine has been switched on."""
        return self._holder is not None

    @property
    def init(self) -> int:
        """The process id of the machine's first process, as this machine counts."""
        assert self._holder is not None, "the machine is off"
        return children(self._holder.pid)[0]

    def switch_on(self) -> None:
        """Start the machine, without a cable. Raises `SystemFault` if this machine allows no namespaces."""
        self.run_folder.mkdir(parents=True)
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--uts"]
        command += [sys.executable, "-c", _INIT, self.name, str(self.run_folder)]
        pipe = subprocess.PIPE
        # Descriptors are not inherited, so this process alone holds the end that the machine waits for.
        holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        assert holder.stdout is not None
        assert holder.stderr is not None
        with holder.stdout as said, holder.stderr as complained:
            if not said.readline():
                reason = complained.read().decode().strip()
                holder.wait()
                raise SystemFault(f"machine {self.name} cannot be made: {reason}")
        self._holder = holder

    def cut_power(self) -> None:
        """Send SIGKILL to every process of the machine. Its mounts and network are gone. Does nothing if it is off."""
        if self._holder is None:
            return
        assert self._holder.stdin is not None
        # The kernel reports the end of the first process when all others of the machine have ended.
        for init in children(self._holder.pid):
            os.kill(init, signal.SIGKILL)
        self._holder.wait()
        self._holder.stdin.close()
        self._holder = None
        shutil.rmtree(self.run_folder)

    def inside(self, *command: str) -> list[str]:
        """Return a command line that runs `command` on the machine."""
        # Not `ip netns exec`, which hides the control groups.
        return ["nsenter", f"--target={self.init}", "--mount", "--pid", "--net", "--uts", "--", *command]

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program on the machine, with its output in the file `log` of the folder."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self, *command: str) -> str:
        """Run a program on the machine and return its output. Raises `CalledProcessError` if it fails."""
        return subprocess.run(
            self.inside(*command), capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
        ).stdout

    def kill(self, pid: int) -> None:
        """Send SIGKILL to a process. `pid` is its number inside the machine."""
        self.run("kill", "-KILL", str(pid))


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process that has one thread."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
