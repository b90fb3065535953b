"""Network namespaces that a test makes itself. Nothing in them reaches the network of the machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import COMMAND_TIMEOUT, until

_PROGRAMS = ("nft", "ip", "unshare", "nsenter")
_OWN = "/proc/thread-self/ns/net"
_NEW_NETWORK = 0x40000000


def obstacle() -> str:
    """Return what keeps this machine from running tests of the kernel plane, or an empty text."""
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"{missing[0]} is not installed"
    command = ["unshare", "--net", "sh", "-c", "nft add table inet test && echo 1 > /proc/sys/net/ipv4/ip_forward"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT)
    return f"network namespaces and nftables cannot be used: {done.stderr.strip()}" if done.returncode else ""


class Namespace:
    """A network namespace, which exists until `close`."""

    def __init__(self) -> None:
        # It ends with its input, so also with the process of the test.
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        path = Path(f"/proc/{self._holder.pid}/ns/net")
        own = Path(_OWN).readlink()
        until(lambda: path.readlink() != own, "a network namespace")
        self._descriptor = os.open(path, os.O_RDONLY)
        self.ip("link set lo up")

    @property
    def pid(self) -> int:
        """A process in it."""
        return self._holder.pid

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within the block, this thread and the processes that it starts are in the namespace. Sockets stay in it."""
        with entered(self._descriptor):
            yield

    def run(self, *command: str) -> str:
        """Run a program in it and return its output."""
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run commands of `ip`."""
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-batch", "-"]
        subprocess.run(inside, input="\n".join(lines), text=True, check=True, timeout=COMMAND_TIMEOUT)

    def nft(self, script: str) -> str:
        """Run a script of nft, as another program on the machine would."""
        return self.run("nft", script)

    def set(self, **settings: str) -> None:
        """Write settings of the kernel, named as by `sysctl` with underscores for dots after `net`."""
        with self.entered():
            for name, value in settings.items():
                (Path("/proc/sys/net") / name.replace("__", "/")).write_text(value)

    def close(self) -> None:
        """Give up the namespace. It disappears with its last socket."""
        os.close(self._descriptor)
        self._holder.kill()
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(timeout=COMMAND_TIMEOUT)


@contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """Within the block, this thread and the processes that it starts are in a network namespace."""
    own = os.open(_OWN, os.O_RDONLY)
    try:
        _enter(descriptor)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")
