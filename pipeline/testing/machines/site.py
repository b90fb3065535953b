"""Several servers on one network, for tests and examples of more than one machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.testing.machines.keeper import kept_folder
from pipeline.testing.machines.lan import Lan
from pipeline.testing.machines.machine import COMMAND_TIMEOUT
from pipeline.testing.machines.server import Server
from pipeline.testing.machines.ssh import SshAccess, missing_program

_PROGRAMS = ("dockerd", "containerd", "docker", "unshare", "nsenter", "ip")


class Site:
    """Servers by name, in order. `access` has the environment in which `ssh` reaches them by their names.

    `folder` is removed with the site, with all that is put into it.
    """

    def __init__(self, lan: Lan, folder: Path, names: Sequence[str]) -> None:
        self.lan = lan
        self.folder = folder
        self.access = SshAccess(folder / "ssh")
        pools = (pool for spare in lan.spare[:-1] for pool in spare.subnets(new_prefix=23))
        self.servers = {
            name: Server(lan, folder, name, pool, access=self.access) for name, pool in zip(names, pools, strict=False)
        }
        assert len(self.servers) == len(names), "too many servers"
        self._archive = folder / "images.tar"

    def start(self) -> None:
        """Start all servers, and wait until their engines answer."""
        for server in self.servers.values():
            server.start()
        for server in self.servers.values():
            server.engine.await_answer()

    def load(self, *images: str) -> None:
        """Copy images from the engine that `DOCKER_HOST` names to all servers."""
        subprocess.run(
            ["docker", "save", "--output", str(self._archive), *images],
            check=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
        )
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda server: server.engine.load(self._archive), self.servers.values()))
        finally:
            self._archive.unlink()

    def cut_power(self) -> None:
        """Cut the power of all servers."""
        for server in self.servers.values():
            server.cut_power()


@contextmanager
def site(*names: str, in_memory: bool = False, prepare: Callable[[Server], object] = lambda _: None) -> Iterator[Site]:
    """Run servers with these host names. At the end, or when this process is killed, everything of them is removed.

    `in_memory`: their disks are in memory, of which each server with its images needs about 300 MB. `prepare` gets each
    server before it starts.
    """
    with kept_folder("site-", in_memory=in_memory) as folder, ExitStack() as stack:
        lan = Lan(folder)
        stack.callback(lan.switch_off)
        lan.switch_on()
        made = Site(lan, folder, names)
        stack.callback(made.cut_power)
        for server in made.servers.values():
            prepare(server)
        made.start()
        yield made


def obstacle() -> str:
    """Return what keeps this machine from running a site and what to do about it, or an empty text."""
    if os.geteuid() != 0:
        return "machines made of namespaces need root"
    missing = next((name for name in _PROGRAMS if shutil.which(name) is None), "") or missing_program()
    if missing:
        return f"{missing} is not installed, or not on PATH"
    done = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
    )
    return f"this machine allows no namespaces: {done.stderr.strip()}" if done.returncode else ""
