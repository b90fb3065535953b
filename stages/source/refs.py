"""The commits of refs, and the commits between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from pipeline.api import Revision
from pipeline.config.triggers import is_glob
from stages.source.git import Git

# A larger push imports a history. It is not a series of changes to run.
_MOST = 1000
_FIELDS = 5
_FORMAT = "%H%x00%an%x00%s%x00%ct%x00%B"


def heads(git: Git, patterns: Sequence[str]) -> dict[str, str]:
    """Return the commits of refs in a repository on this machine, tags peeled. Raises `GitFailed`."""
    globs = [pattern for pattern in patterns if is_glob(pattern)]
    found = {name: sha for name in patterns if name not in globs and (sha := _commit_of(git, name))}
    if not globs:
        return found
    form = "%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
    for line in git("for-each-ref", f"--format={form}", *globs).split("\n"):
        name, *words = line.split(" ")
        kinds = dict(zip(words[::2], words[1::2], strict=False))
        # Before git 2.45, a tag of a tag is peeled only once.
        sha = kinds.get("commit") or (git.commit(kinds["tag"]) if "tag" in kinds else None)
        if sha and _matches_ref(globs, name):
            found[name] = sha
    return found


def _commit_of(git: Git, name: str) -> str | None:
    """Return the commit of one ref. Faster than a listing, for which git may read tens of thousands of files."""
    # `rev-parse` alone would also resolve `NAME` to the branch `refs/heads/NAME`.
    sha = git.maybe("show-ref", "--verify", "--hash", name)
    return git.commit(sha.strip()) if sha else None


def remote_heads(git: Git, location: str, patterns: Sequence[str]) -> dict[str, str]:
    """Return the commits of refs at a URL, tags peeled. Raises `GitFailed`."""
    found = {}
    # An annotated tag is followed by a line for its object, whose name has this suffix.
    peeled = [f"{pattern}^{{}}" for pattern in patterns]
    for line in git.list_refs(location, *patterns, *peeled).split("\n"):
        # A name may contain a character that `splitlines` treats as a line break.
        sha, _, name = line.partition("\t")
        name = name.removesuffix("^{}")
        if _matches_ref(patterns, name):
            found[name] = sha
    return found


def commits(git: Git, old: str | None, new: str, source: str) -> list[Revision]:
    """Return the commits after `old` up to `new`, along the first parents, oldest first."""
    options = ("-z", "--no-show-signature", "--first-parent", "--reverse", f"--format=tformat:{_FORMAT}")
    text = git.maybe("log", *options, f"--max-count={_MOST}", f"{old}..{new}", "--") if old else None
    # A branch that was moved back has no new commits, but its head has changed.
    text = text or git("log", *options, "-1", new, "--")
    return _revisions(text, source)


def _revisions(text: str, source: str) -> list[Revision]:
    """Return the commits in the output of git."""
    fields = text.encode(errors="surrogateescape").decode(errors="replace").split("\0")
    rows = (fields[i : i + _FIELDS] for i in range(0, len(fields) - 1, _FIELDS))
    return [
        Revision(sha, "", author, subject, _moment(at), source, message) for sha, author, subject, at, message in rows
    ]


def gained(git: Git, old: str, new: str, source: str) -> list[Revision] | None:
    """Return the commits that `new` has and `old` has not, along the first parents, newest first.

    None if one of the two is unknown.
    """
    options = ("-z", "--no-show-signature", "--first-parent", f"--format=tformat:{_FORMAT}", f"--max-count={_MOST}")
    text = git.maybe("log", *options, f"{old}..{new}", "--")
    return None if text is None else _revisions(text, source)


def _moment(seconds: str) -> datetime:
    """Return the time of a commit, at most the year 9999: a commit may state any number."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(9999, 1, 1, tzinfo=UTC)


def _matches_ref(patterns: Sequence[str], name: str) -> bool:
    """Return whether a pattern matches this ref alone. Git also matches the folders below it, or the ends of names."""
    return any(name.count("/") == p.count("/") and fnmatchcase(name, p) for p in patterns)
