"""Commits that ask not to be run, in the words that the forges have for it."""

from __future__ import annotations

import re

# GitHub, GitLab, Gitea and Azure each know some of these; a repository that moves here keeps its habits.
_MARK = re.compile(
    r"\[(?:(?:skip|no)[ _-](?:ci|actions|penstock)|(?:ci|actions|penstock)[ _-]skip)\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE
)
_TRAILER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*[ \t]*:.*")
_SKIP_CHECKS = re.compile(r"skip-checks[ \t]*:[ \t]*true[ \t]*", re.IGNORECASE)


def skip_reason(message: str) -> str | None:
    """Why the commit of this message is not to be run, for people; None where it is.

    A mark such as [skip ci] counts anywhere in the message, the trailer `skip-checks: true` among the trailers only.
    """
    mark = _MARK.search(message)
    if mark:
        return f"its message says {mark[0]}"
    if any(_SKIP_CHECKS.fullmatch(line) for line in _trailers(message)):
        return "its message says skip-checks: true"
    return None


def _trailers(message: str) -> list[str]:
    """The last paragraph's lines, where it is not the subject and holds nothing but trailers."""
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", message.replace("\r\n", "\n").strip())
    lines = paragraphs[-1].split("\n") if len(paragraphs) > 1 else []
    return lines if all(_TRAILER.fullmatch(line) or line.startswith((" ", "\t")) for line in lines) else []
