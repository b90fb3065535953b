"""Globs over the paths of a repository: `*` stays within a folder, `**` crosses folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def matches_any(changed: Iterable[str], globs: Sequence[str]) -> bool:
    """Return whether any glob matches any changed path. A folder's name matches everything in it."""
    patterns = [_pattern(glob) for glob in globs]
    return any(pattern.fullmatch(path) for path in changed for pattern in patterns)


def _pattern(glob: str) -> re.Pattern[str]:
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", glob.strip("/").removeprefix("./"))
    return re.compile("".join(wild.get(token) or re.escape(token) for token in tokens) + "(?:/.*)?", re.DOTALL)
