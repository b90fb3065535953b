"""Git hooks that write a spool file for each commit or push. An existing hook is kept and runs first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.base.files import write_atomically
from pipeline.base.git import GitFailed, run_git
from pipeline.base.home import Home
from pipeline.triggers.hook_script import HookEntry, hook_script, installed_entries

TYPES = ("post-commit", "post-merge", "post-rewrite", "post-receive")
_BEFORE = ".before-penstock"


@dataclass(frozen=True)
class GitHooks:
    """The hooks of a repository. With `core.hooksPath`, several repositories may share the folder `hooks`."""

    directory: Path
    hooks: Path
    bare: bool

    @classmethod
    def find(cls, place: Path) -> GitHooks:
        """Return the hooks of the repository at `place`. Raises `ConfigError` if it is not a repository."""
        wanted = ("--git-common-dir", "--git-path", "hooks", "--is-bare-repository")
        try:
            printed = run_git("rev-parse", "--path-format=absolute", *wanted, directory=place)
        except GitFailed as error:
            raise ConfigError(f"{place} is not a git repository: {error}") from error
        directory, hooks, bare = os.fsdecode(printed).splitlines()
        return cls(Path(directory).resolve(), Path(hooks).resolve(), bare == "true")

    def default_types(self) -> tuple[str, ...]:
        """Return the hooks that cover every commit: pushes to a bare repository, or work in a checkout."""
        return ("post-receive",) if self.bare else ("post-commit", "post-merge", "post-rewrite")

    def install(self, kinds: Sequence[str], home: Home) -> list[Path]:
        """Write hooks and return their paths. Existing ones are kept and run first.

        A hook of Penstock gets one more entry, so it serves every repository and home that shares it. Raises
        `ConfigError` before anything is written if Penstock must not write into the folder.
        """
        entry = HookEntry(self.directory, home.root)
        try:
            self._check(kinds)
            self.hooks.mkdir(parents=True, exist_ok=True)
            paths = [self._add(kind, entry) for kind in kinds]
        except OSError as error:
            raise ConfigError(f"cannot write the hooks in {self.hooks}: {error.strerror}") from error
        if "post-receive" in kinds:
            self._git("config", "receive.advertisePushOptions", "true")
        return paths

    def uninstall(self, kind: str, home: Home) -> bool:
        """Remove the entry of this repository and this home. Return False if there is none.

        Without other entries, the previous hook is restored.
        """
        path, own = self.hooks / kind, HookEntry(self.directory, home.root)
        entries = installed_entries(path)
        if own not in entries:
            return False
        before = path.with_name(kind + _BEFORE)
        if left := [entry for entry in entries if entry != own]:
            self._write_hook(path, kind, left)
        elif before.exists():
            before.replace(path)
        else:
            path.unlink()
        return True

    def notify(self, home: Home) -> None:
        """Write the spool file that a hook writes."""
        entry = HookEntry(self.directory, home.root)
        write_atomically(entry.spool / f"{entry.digest}.{os.getpid()}", os.fsencode(f"{entry.repository}\n"))

    def _check(self, kinds: Sequence[str]) -> None:
        if self._in_working_tree():
            raise ConfigError(
                f"{self.hooks} belongs to a working tree: git tracks it, or a tool such as husky or lefthook writes it",
                hint=f"call `pipeline hook notify` in your own hooks ({', '.join(kinds)})",
            )
        if self.hooks.exists() and not self.hooks.is_dir():
            raise ConfigError(
                f"core.hooksPath is {self.hooks}, which is not a folder, so git runs no hooks",
                hint="git config --unset core.hooksPath",
            )
        for kind in kinds:
            path, before = self.hooks / kind, self.hooks / (kind + _BEFORE)
            if path.exists() and before.exists() and not installed_entries(path):
                raise ConfigError(
                    f"{before} is the hook from before Penstock, and another tool has replaced {path} since",
                    hint="merge the two files into one of them, and remove the other",
                )

    def _in_working_tree(self) -> bool:
        existing = next(folder for folder in (self.hooks, *self.hooks.parents) if folder.is_dir())
        try:
            return run_git("rev-parse", "--is-inside-work-tree", directory=existing).strip() == b"true"
        except GitFailed as error:
            # Git refuses to read a repository of another user. That counts as a working tree too.
            return "not a git repository" not in str(error)

    def _add(self, kind: str, entry: HookEntry) -> Path:
        path = self.hooks / kind
        entries = installed_entries(path)
        if path.exists() and not entries:
            path.replace(path.with_name(kind + _BEFORE))
        self._write_hook(path, kind, [*(other for other in entries if other != entry), entry])
        return path

    def _write_hook(self, path: Path, kind: str, entries: Sequence[HookEntry]) -> None:
        text = hook_script(entries, before=_BEFORE, reads=kind in ("post-receive", "post-rewrite"), kind=kind)
        write_atomically(path, os.fsencode(text), 0o755)

    def _git(self, *arguments: str) -> None:
        try:
            run_git(f"--git-dir={self.directory}", *arguments, directory=self.directory)
        except GitFailed as error:
            raise ConfigError(f"git {arguments[0]} failed in {self.directory}: {error}") from error
