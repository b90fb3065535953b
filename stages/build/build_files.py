"""The files of a commit that say how its image is built."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.api import Checkout
from pipeline.base.errors import StageFailed
from pipeline.config.models import Build
from stages.build.instructions import escape_character, instructions

_IGNORE = ".dockerignore"
_DEFAULT = "Dockerfile"


@dataclass(frozen=True)
class BuildFiles:
    """The Dockerfile and the files of patterns. `contents` has those that exist, by their paths in the context.

    They are read through links, which may lead out of the context, but not out of the repository.
    """

    dockerfile: str
    contents: Mapping[str, bytes]

    @classmethod
    def read(cls, checkout: Checkout, config: Build) -> BuildFiles:
        """Read the files of a commit. Raises `StageFailed` if it has no Dockerfile from which an image can be built."""

        def content(name: str) -> bytes | None:
            return checkout.read(name if config.context == "." else f"{config.context}/{name}")

        name, found = config.dockerfile, content(config.dockerfile)
        if found is None and name == _DEFAULT:
            # Docker takes this name too, if no other is set.
            name, found = _DEFAULT.lower(), content(_DEFAULT.lower())
        path = config.dockerfile if config.context == "." else f"{config.context}/{config.dockerfile}"
        if found is None:
            raise StageFailed(
                f"commit {checkout.revision.short} has no {path}",
                hint="build.context and build.dockerfile set its path, relative to the repository's root",
            )
        files = cls(
            name, {name: found, **{n: c for n in (f"{name}{_IGNORE}", _IGNORE) if (c := content(n)) is not None}}
        )
        files.check(path)
        return files

    @property
    def text(self) -> str:
        """The Dockerfile."""
        return self.contents[self.dockerfile].decode(errors="replace")

    @property
    def digest(self) -> str:
        """The digest of all contents, which the tree of the context does not contain if a link leads out of it."""
        return hashlib.sha256(repr(sorted(self.contents.items())).encode()).hexdigest()

    def patterns(self, *, own: bool) -> str:
        """Return the patterns of files to leave out. With `own`, a file named after the Dockerfile takes precedence."""
        names = (f"{self.dockerfile}{_IGNORE}", _IGNORE) if own else (_IGNORE,)
        found = next((self.contents[name] for name in names if name in self.contents), b"")
        return found.decode(errors="surrogateescape")

    def check(self, path: str) -> None:
        """Raise `StageFailed` for a Dockerfile without FROM. BuildKit of Docker 20.10 takes the whole daemon down."""
        # Docker 20.10 knows an escape directive on the first line only, so there must be a FROM without one too.
        escapes = {escape_character(self.text), escape_character(self.text.partition("\n")[0])}
        if not all(any(step.name == "FROM" for step in instructions(self.text, escape)) for escape in escapes):
            raise StageFailed(
                f"{path} has no FROM, so there is nothing to build",
                hint="begin the Dockerfile with the image that yours is made from: FROM python:3.13-slim",
            )
