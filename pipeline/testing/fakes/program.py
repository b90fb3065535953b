"""The program that a fake container runs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Program:
    """A process that prints `lines` and exits with `exit_code` at once. With None it runs until it is stopped.

    `on_sigterm` is its exit code after SIGTERM; None ignores the signal. `refusal` is the error of a program that does
    not start. `commands` are the exit codes of the commands that can be executed beside it, and `files` its files by
    path.
    """

    lines: tuple[str, ...] = ()
    exit_code: int | None = None
    on_sigterm: int | None = 0
    refusal: str = ""
    commands: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

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
