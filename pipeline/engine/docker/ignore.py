"""The rules of a `.dockerignore` file, which leaves files out of a build context."""

from __future__ import annotations

from docker.utils.build import PatternMatcher


class DockerIgnore:
    """The patterns of a `.dockerignore` file. The last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.lstrip("\ufeff").splitlines())
        self._patterns = PatternMatcher([line for line in lines if line and not line.startswith("#")]).patterns

    def excludes(self, path: str) -> bool:
        """Return whether `path`, relative to the context, is excluded."""
        parts = path.split("/")
        paths = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        excluded = False
        for pattern in self._patterns:
            if any(pattern.match(path) for path in paths):
                excluded = not pattern.exclusion
        return excluded
