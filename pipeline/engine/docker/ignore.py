"""The meaning of a `.dockerignore` file, which leaves files out of a build context. Pure, and equal to Docker's.

Docker reads the file in Go, so its quirks are Go's: `filepath.Match` checks a pattern, `regexp` matches it.
`tests/docker/dockerignore.py` compares this module with Docker on generated files and trees.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache

from pipeline.base.errors import StageFailed
from pipeline.engine.docker.ignore_pattern import BadPattern, IgnorePattern

# Go's unicode.IsSpace. Python's `strip` removes more.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# The longest line that Docker reads, in bytes.
_MAX_LINE = 64 * 1024 - 1
_HINT = "see the rules of .dockerignore in docs/configuration.md"


class DockerIgnore:
    """The patterns of a `.dockerignore` file. The last pattern that matches a path, or a folder above it, decides.

    An excluded folder is not entered, unless an exception (`!`) begins with its path. Raises `StageFailed` for a
    pattern that Docker refuses: on creation, or from `excludes` for patterns that Docker refuses only on use.
    """

    def __init__(self, text: str) -> None:
        self._patterns = _parse(text)
        self._exceptions = [f"{p.text}/" for p in self._patterns if p.is_exception]
        self._folder = lru_cache(maxsize=4096)(self._decide)

    def excludes(self, path: str) -> bool:
        """Return whether `path`, relative to the context, is excluded. `folder/` stands for all that may be in it."""
        if path.endswith("/"):
            folder = path.rstrip("/")
            return self._decide(folder)[0] and not self._is_entered(folder)
        return self._decide(path)[0]

    def _decide(self, path: str) -> tuple[bool, tuple[bool, ...] | None]:
        """Return whether a path is excluded, and the patterns that match it. None: its folder is not entered."""
        above = posixpath.dirname(path)
        if not above:
            return self._match(path, (False,) * len(self._patterns))
        excluded, inherited = self._folder(above)
        if inherited is None or (excluded and not self._is_entered(above)):
            return True, None
        return self._match(path, inherited)

    def _is_entered(self, folder: str) -> bool:
        return any(exception.startswith(f"{folder}/") for exception in self._exceptions)

    def _match(self, path: str, inherited: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        excluded = False
        matches = list(inherited)
        for index, pattern in enumerate(self._patterns):
            # Like Docker, skip a pattern that would change nothing. Files below then do not inherit its match.
            if not matches[index] and pattern.is_exception == excluded:
                matches[index] = self._matches(pattern, path)
            if matches[index]:
                excluded = not pattern.is_exception
        return excluded, tuple(matches)

    def _matches(self, pattern: IgnorePattern, path: str) -> bool:
        try:
            return pattern.matches(path)
        except BadPattern as error:
            raise _refused(pattern.line, str(error)) from None


def _parse(text: str) -> list[IgnorePattern]:
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if len(line.encode(errors="surrogateescape")) > _MAX_LINE:
            raise _refused(number, f"the line is longer than {_MAX_LINE} bytes")
        # Only a `#` in the first column begins a comment.
        if line.startswith("#") or not (pattern := line.strip(_SPACE)):
            continue
        try:
            if parsed := _parse_line(pattern, number):
                patterns.append(parsed)
        except BadPattern as error:
            raise _refused(number, str(error)) from None
    return patterns


def _parse_line(line: str, number: int) -> IgnorePattern | None:
    """Return the pattern of a line, or None if nothing of it is left."""
    exception = line.startswith("!")
    pattern = line[exception:].strip(_SPACE)
    if pattern:
        pattern = _clean(pattern)
        pattern = pattern[1:] if pattern.startswith("/") and len(pattern) > 1 else pattern
    if exception:
        pattern = f"!{pattern}"
    # Docker trims and cleans a second time, so `/ a` means `a`, and `!/` is an empty exception.
    pattern = pattern.strip(_SPACE)
    return IgnorePattern(_clean(pattern), number) if pattern else None


def _clean(path: str) -> str:
    """Return a path in its shortest form, as Go's `filepath.Clean` does."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _refused(line: int, reason: str) -> StageFailed:
    return StageFailed(f".dockerignore, line {line}: {reason}", hint=_HINT)
