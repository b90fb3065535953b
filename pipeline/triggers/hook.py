"""Git hooks that write a spool file for each commit or push. An existing hook is kept and runs first."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import ConfigError
from pipeline.base.git import GitFailed, run_git
from pipeline.base.home import VARIABLE, Home

TYPES = ("post-commit", "post-merge", "post-rewrite", "post-receive")
_MARK = "# Penstock:"
_BEFORE = ".before-penstock"

# The hook reads its input once and passes it to the previous hook. The spool file is renamed into place, so the daemon
# never reads a part. It only names the repository, so one may overwrite another. Only `git push -o follow` blocks.
_SCRIPT = """\
#!/bin/sh
{mark} notifies `pipeline serve` of new commits in {repository}.
# Written by `pipeline hook install`, removed by `pipeline hook uninstall`.
status=0
refs={read}
if [ -x "$0{before}" ]; then
  printf '%s\\n' "$refs" | "$0{before}" "$@"
  status=$?
fi
spool={spool}
printf '%s\\n' {repository} > "$spool/.$$" && mv "$spool/.$$" "$spool/$$"
{follow}exit "$status"
"""
_FOLLOW = """\
i=0
while [ "$i" -lt "${{GIT_PUSH_OPTION_COUNT:-0}}" ]; do
  if [ "$(printenv "GIT_PUSH_OPTION_$i")" = follow ]; then
    printf '%s\\n' "$refs" | {variable}={home} {pipeline} hook follow
  fi
  i=$((i + 1))
done
"""


@dataclass(frozen=True)
class GitHooks:
    """The hooks of a repository."""

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
        return cls(Path(directory).resolve(), Path(hooks), bare == "true")

    def default_types(self) -> tuple[str, ...]:
        """Return the hooks that cover every commit: pushes to a bare repository, or work in a checkout."""
        return ("post-receive",) if self.bare else ("post-commit", "post-merge", "post-rewrite")

    def install(self, kind: str, home: Home) -> Path:
        """Write a hook and return its path. An existing one is kept and runs first."""
        path = self.hooks / kind
        self.hooks.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_installed(path):
            path.replace(path.with_name(kind + _BEFORE))
        written = path.with_name(f".{kind}.{os.getpid()}")
        written.write_text(self._script(kind, home))
        written.chmod(0o755)
        written.replace(path)
        if kind == "post-receive":
            self._git("config", "receive.advertisePushOptions", "true")
        return path

    def uninstall(self, kind: str) -> bool:
        """Remove a hook and restore the previous one. Return False if Penstock's hook was not installed."""
        path = self.hooks / kind
        if not path.exists() or not _is_installed(path):
            return False
        before = path.with_name(kind + _BEFORE)
        if before.exists():
            before.replace(path)
        else:
            path.unlink()
        return True

    def _script(self, kind: str, home: Home) -> str:
        pipeline = shlex.join([sys.executable, "-m", "pipeline.cli.main"])
        follow = _FOLLOW.format(variable=VARIABLE, home=shlex.quote(str(home.root)), pipeline=pipeline)
        return _SCRIPT.format(
            mark=_MARK,
            repository=shlex.quote(str(self.directory)),
            read='"$(cat)"' if kind in ("post-receive", "post-rewrite") else '""',
            before=_BEFORE,
            spool=shlex.quote(str(home.spool)),
            follow=follow if kind == "post-receive" else "",
        )

    def _git(self, *arguments: str) -> None:
        try:
            run_git(f"--git-dir={self.directory}", *arguments, directory=self.directory)
        except GitFailed as error:
            raise ConfigError(f"git {arguments[0]} failed in {self.directory}: {error}") from error


def _is_installed(path: Path) -> bool:
    return _MARK in path.read_text(errors="replace")
