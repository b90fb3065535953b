"""What a laboratory leaves on the machine, counted by kind."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.laboratory import APPS_NETWORK, NETWORK, Laboratory
from pipeline.base.home_id import home_id


class Remains:
    """Counts what belongs to a laboratory, also after its folder is gone."""

    def __init__(self, lab: Laboratory) -> None:
        self._folder, self._home = lab.folder, lab.home
        balancer = lab.home / "balancer"
        self._id, self._table_id = (home_id(each) if each.exists() else "none" for each in (lab.home, balancer))

    def count(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {
            "containers": len(self._docker("container", "--all")),
            "networks in Docker": len(self._docker("network")),
            "images": len(set(self._docker("image"))),
            "volumes": len(self._docker("volume")),
            "network namespaces": sum((Path("/run/netns") / name).exists() for name in (NETWORK, APPS_NETWORK)),
            "network interfaces": sum(map(self._is_our_interface, Path("/sys/class/net").iterdir())),
            "processes": sum(map(self._is_ours, Path("/proc").glob("[0-9]*"))),
            "nft tables": _output("nft", "list", "tables").count(f"penstock_{self._table_id}"),
            "files": sum(1 for path in self._folder.rglob("*") if not path.is_dir()),
        }

    def _docker(self, kind: str, *options: str) -> list[str]:
        label = f"label=penstock.home={self._id}"
        return _output("docker", kind, "ls", "--quiet", *options, "--filter", label).split()

    def _is_our_interface(self, interface: Path) -> bool:
        """Return whether an interface is the client's, or has the text that Penstock gives to those of the balancer."""
        try:
            alias = (interface / "ifalias").read_text()
        except OSError:
            return False
        return interface.name == NETWORK or alias.startswith(f"penstock {self._table_id} ")

    def _is_ours(self, process: Path) -> bool:
        """Return whether a process serves the laboratory: its arguments name the folder, or it works in the home."""
        try:
            words, place = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
        except OSError:
            return False
        return bytes(self._folder) in words or place.is_relative_to(self._home)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
