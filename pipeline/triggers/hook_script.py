"""The text of a git hook: a shell script with one entry for each repository and home that it serves."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.home import VARIABLE
from pipeline.triggers.previous_hook import FOLDER, FORMER_SUFFIX

_MARK = "# Penstock:"
# The hook reads its input once and passes it to the previous hook, which may still be where version 0.1.0 kept it. Its
# folder may be shared (core.hooksPath), so an entry acts for its own repository only. The spool file is renamed into
# place, so the daemon never reads a part. Its name holds the repository: two hooks may have one process id in
# containers. Only `git push -o follow` blocks.
_SCRIPT = """\
#!/bin/sh
{mark} notifies `pipeline serve` of new commits. One `entry` for each repository and its home.
# Written by `pipeline hook install`, removed by `pipeline hook uninstall`.
status=0
refs={read}
previous="$(dirname -- "$0")/{folder}/{kind}"
[ -x "$previous" ] || previous="$0{suffix}"
if [ -x "$previous" ]; then
  printf '%s\\n' "$refs" | "$previous" "$@"
  status=$?
fi
here=$(CDPATH= cd -- "$(git rev-parse --git-common-dir)" && pwd -P)
entry() {{
  [ "$here" = "$1" ] || return 0
  printf '%s\\n' "$1" > "$2/spool/.$3.$$" && mv "$2/spool/.$3.$$" "$2/spool/$3.$$"
{follow}}}
{entries}
exit "$status"
"""
_FOLLOW = """\
  i=0
  while [ "$i" -lt "${{GIT_PUSH_OPTION_COUNT:-0}}" ]; do
    if [ "$(printenv "GIT_PUSH_OPTION_$i")" = follow ]; then
      printf '%s\\n' "$refs" | {variable}="$2" {pipeline} hook follow
    fi
    i=$((i + 1))
  done
"""
# The hooks to which git sends input.
_WITH_INPUT = ("post-receive", "post-rewrite")
_ENTRY = re.compile(r"^entry (.+)$", re.MULTILINE)
# In hooks of version 0.1.0, which have one repository.
_FORMER = re.compile(r"^spool=(.+)\nprintf '%s\\n' (.+) > \"\$spool/\.\$\$\"", re.MULTILINE)


@dataclass(frozen=True)
class HookEntry:
    """A repository whose commits a hook reports, and the home of the daemon that gets the reports."""

    repository: Path
    home: Path

    @property
    def spool(self) -> Path:
        """The folder that the hook writes into."""
        return self.home / "spool"

    @property
    def digest(self) -> str:
        """The repository as a part of a file name."""
        return hashlib.sha256(str(self.repository).encode(errors="surrogateescape")).hexdigest()[:12]


def hook_script(entries: Sequence[HookEntry], kind: str) -> str:
    """Return the script of a hook. `kind` is its name."""
    pipeline = shlex.join([sys.executable, "-m", "pipeline.cli.main"])
    follow = _FOLLOW.format(variable=VARIABLE, pipeline=pipeline) if kind == "post-receive" else ""
    lines = [f"entry {shlex.join([str(e.repository), str(e.home), e.digest])}" for e in entries]
    read = '"$(cat)"' if kind in _WITH_INPUT else '""'
    return _SCRIPT.format(
        mark=_MARK,
        read=read,
        folder=FOLDER,
        kind=kind,
        suffix=FORMER_SUFFIX,
        follow=follow,
        entries="\n".join(lines),
    )


def installed_entries(path: Path) -> list[HookEntry]:
    """Return the entries of an installed hook, also of version 0.1.0. Empty for a hook of another program."""
    # A link is none of Penstock's, although it may lead to one that has just been installed.
    if path.is_symlink() or not path.is_file():
        return []
    text = path.read_text(errors="surrogateescape")
    if _MARK not in text:
        return []
    entries = [shlex.split(arguments) for arguments in _ENTRY.findall(text)]
    former = [[*shlex.split(repository), *shlex.split(spool)] for spool, repository in _FORMER.findall(text)]
    return [
        *(HookEntry(Path(words[0]), Path(words[1])) for words in entries),
        *(HookEntry(Path(words[0]), Path(words[1]).parent) for words in former),
    ]
