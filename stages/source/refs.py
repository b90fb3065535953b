"""Where refs point, and which commits lie on the way from one place to another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from pipeline.api import Revision
from stages.source.git import Git

# Whoever pushes more at once does not mean each of them.
_MOST = 1000
_FIELDS = 5
_FORMAT = "%H%x00%an%x00%s%x00%cI%x00%B"


def heads(git: Git, patterns: Sequence[str]) -> dict[str, str]:
    """The commits of refs in a repository on this machine, tags peeled. Raises `GitFailed`."""
    form = "%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    found = {}
    for line in git("for-each-ref", f"--format={form}", *patterns).splitlines():
        name, *words = line.split(" ")
        kinds = dict(zip(words[::2], words[1::2], strict=False))
        if "commit" in kinds and _means(patterns, name):
            found[name] = kinds["commit"]
    return found


def remote_heads(git: Git, location: str, patterns: Sequence[str]) -> dict[str, str]:
    """The commits of refs behind a URL, tags peeled. Raises `GitFailed`."""
    found = {}
    for line in git("ls-remote", "--", location, *patterns, timeout=60).splitlines():
        sha, name = line.split("\t")
        # `^{}` follows the tag that it peels.
        name = name.removesuffix("^{}")
        if _means(patterns, name):
            found[name] = sha
    return found


def commits(git: Git, old: str | None, new: str, source: str) -> list[Revision]:
    """The commits after `old` up to `new`, along the first parents, oldest first."""
    options = ("-z", "--no-show-signature", "--first-parent", "--reverse", f"--format=tformat:{_FORMAT}")
    text = git.maybe("log", *options, f"--max-count={_MOST}", f"{old}..{new}", "--") if old else None
    # A branch that was moved back has nothing new on it, but it is somewhere else.
    text = text or git("log", *options, "-1", new, "--")
    fields = text.encode(errors="surrogateescape").decode(errors="replace").split("\0")
    rows = (fields[i : i + _FIELDS] for i in range(0, len(fields) - 1, _FIELDS))
    return [
        Revision(sha, "", author, subject, datetime.fromisoformat(at), source, message)
        for sha, author, subject, at, message in rows
    ]


def _means(patterns: Sequence[str], name: str) -> bool:
    """Whether a pattern means exactly this ref: git also takes the folders below it, or the ends of names."""
    return any(name.count("/") == p.count("/") and fnmatchcase(name, p) for p in patterns)
