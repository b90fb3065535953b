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
from pipeline.triggers.previous_hook import TYPES, PreviousHook


@dataclass(frozen=True)
class GitHooks:
    """The hooks of a repository. With `core.hooksPath`, several repositories may share the folder `hooks`."""

    directory: Path
    hooks: Path
    bare: bool

    @classmethod
    def find(cls, place: Path) -> GitHooks:
        """Return the hooks of the repository at `place`.

        Raises `ConfigError` if it is not a repository, or has a line break in its path.
        """
        wanted = ("--git-common-dir", "--git-path", "hooks", "--is-bare-repository")
        try:
            printed = run_git("rev-parse", "--path-format=absolute", *wanted, directory=place)
        except GitFailed as error:
            raise ConfigError(f"{place} is not a git repository: {error}") from error
        lines = os.fsdecode(printed).removesuffix("\n").split("\n")
        if len(lines) != len(wanted) - 1:
            raise ConfigError(f"{str(place)!r}: the path of a repository with hooks must not contain a line break")
        directory, hooks, bare = lines
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
        left = [entry for entry in self._current(entries) if entry != own]
        if left == entries:
            return False
        if left:
            self._write_hook(path, kind, left)
        else:
            PreviousHook(path).restore()
        return True

    def installed(self, home: Home) -> tuple[str, ...]:
        """Return the hooks that have the entry of this repository and this home."""
        own = HookEntry(self.directory, home.root)
        return tuple(kind for kind in TYPES if own in installed_entries(self.hooks / kind))

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
            path, before = self.hooks / kind, PreviousHook(self.hooks / kind)
            if os.path.lexists(path) and before.exists and not installed_entries(path):
                raise ConfigError(
                    f"{before.place} is the hook from before Penstock, and another tool has replaced {path} since",
                    hint="merge the two files into one of them, and remove the other",
                )

    def _in_working_tree(self) -> bool:
        if self.hooks.is_relative_to(self.directory):
            # Git tracks nothing in a repository's own folder, even if that is in the working tree (core.worktree).
            return False
        existing = next(folder for folder in (self.hooks, *self.hooks.parents) if folder.is_dir())
        try:
            return run_git("rev-parse", "--is-inside-work-tree", directory=existing).strip() == b"true"
        except GitFailed as error:
            # Git refuses to read a repository of another user. That counts as a working tree too.
            return "not a git repository" not in str(error)

    def _add(self, kind: str, entry: HookEntry) -> Path:
        path = self.hooks / kind
        previous, entries = PreviousHook(path), installed_entries(path)
        if not entries:
            previous.keep()
        self._write_hook(path, kind, [*(other for other in self._current(entries) if other != entry), entry])
        previous.adopt()
        return path

    def _current(self, entries: Sequence[HookEntry]) -> list[HookEntry]:
        """Return the entries without those of the places that this repository was moved from.

        A folder that several repositories share keeps all of them, since one may be on a disk that is not mounted.
        """
        is_own = self.hooks.is_relative_to(self.directory)
        return [e for e in entries if not is_own or e.repository == self.directory or e.repository.exists()]

    def _write_hook(self, path: Path, kind: str, entries: Sequence[HookEntry]) -> None:
        write_atomically(path, os.fsencode(hook_script(entries, kind)), 0o755)

    def _git(self, *arguments: str) -> None:
        try:
            run_git(f"--git-dir={self.directory}", *arguments, directory=self.directory)
        except GitFailed as error:
            raise ConfigError(f"git {arguments[0]} failed in {self.directory}: {error}") from error
