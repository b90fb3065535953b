"""The program that a fake container runs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.engine.container import ContainerSpec, Privileges

PERMISSION_ERROR = "Operation not permitted"
PROCESS_ERROR = "cannot fork: Resource temporarily unavailable"
READ_ONLY_ERROR = "Read-only file system"
FILE_ERROR = "Too many open files"
_DEFAULT_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)


def _has(privileges: Privileges, capability: str) -> bool:
    added, dropped = privileges.cap_add, privileges.cap_drop
    if "ALL" in added:
        return capability not in dropped
    is_default = capability in _DEFAULT_CAPABILITIES and not {"ALL", capability} & set(dropped)
    return is_default or capability in added


def _is_below(folders: Iterable[str], path: str) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


@dataclass(frozen=True)
class Program:
    """A process that prints `lines` and exits with `exit_code` immediately. With None it runs until it is stopped.

    `on_sigterm` is its exit code after SIGTERM; None ignores the signal. `refusal` is the error of a program that does
    not start. `commands` are the exit codes of the commands that can be executed beside it, `outputs` what they write
    to their standard output and error, and `healthcheck` is the one that its image names. `files` are its files by
    path, which it writes when it starts. It prints an error and exits with 1 if its container lacks a capability that
    it `needs`, may not have as many `processes` or `open_files`, or may not write one of its `files`. `mounts` are the
    paths of volumes that its image declares. It uses `cpu` cores.
    """

    lines: tuple[str, ...] = ()
    exit_code: int | None = None
    on_sigterm: int | None = 0
    refusal: str = ""
    commands: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    outputs: Mapping[tuple[str, ...], tuple[bytes, bytes]] = field(default_factory=dict)
    healthcheck: tuple[str, ...] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    mounts: tuple[str, ...] = ()
    processes: int = 1
    open_files: int = 3
    cpu: float = 0.0

    def within(self, spec: ContainerSpec) -> Program:
        """Return the program as it runs in a container."""
        if not all(_has(spec.privileges, capability) for capability in self.needs):
            return replace(self, lines=(*self.lines, PERMISSION_ERROR), exit_code=1)
        if spec.pids is not None and self.processes > spec.pids:
            return replace(self, lines=(*self.lines, PROCESS_ERROR), exit_code=1)
        limit = spec.options.ulimits.get("nofile")
        if limit and 0 <= limit.soft < self.open_files:
            return replace(self, lines=(*self.lines, FILE_ERROR), exit_code=1)
        if spec.options.read_only and not all(_is_below(spec.options.tmpfs, path) for path in self.files):
            # It fails before it prints its lines.
            return replace(self, lines=(READ_ONLY_ERROR,), exit_code=1)
        return self

    def tar(self, path: str) -> bytes:
        """Return a tar of a file or a folder, its names beginning with the last part of `path`; empty if none."""
        folder, _, _ = path.rstrip("/").rpartition("/")
        found = {name: data for name, data in self.files.items() if name == path or name.startswith(f"{path}/")}
        if not found:
            return b""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name, data in found.items():
                member = tarfile.TarInfo(name.removeprefix(f"{folder}/"))
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return content.getvalue()
