"""Skip marks in commit messages."""

from __future__ import annotations

import re

# The marks of GitHub, GitLab, Gitea and Azure.
_MARK = re.compile(
    r"\[(?:(?:skip|no)[ _-](?:ci|actions|penstock)|(?:ci|actions|penstock)[ _-]skip)\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE
)
_TRAILER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*[ \t]*:.*")
_SKIP_CHECKS = re.compile(r"skip-checks[ \t]*:[ \t]*true[ \t]*", re.IGNORECASE)


def skip_reason(message: str) -> str | None:
    """Return the reason to skip the commit with this message, or None.

    A mark such as [skip ci] may be anywhere in the message. `skip-checks: true` must be a trailer.
    """
    mark = _MARK.search(message)
    if mark:
        return f"the commit message contains {mark[0]}"
    if any(_SKIP_CHECKS.fullmatch(line) for line in _trailers(message)):
        return "the commit message contains skip-checks: true"
    return None


def _trailers(message: str) -> list[str]:
    """Return the lines of the last paragraph if it is not the subject and has trailers only, else an empty list."""
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", message.replace("\r\n", "\n").strip())
    lines = paragraphs[-1].split("\n") if len(paragraphs) > 1 else []
    return lines if all(_TRAILER.fullmatch(line) or line.startswith((" ", "\t")) for line in lines) else []
