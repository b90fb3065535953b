"""The files that browsers load: style sheets, scripts and their licences."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}

# A script may end without a semicolon, or with a comment.
_SEPARATORS = {".css": b"\n", ".js": b"\n;\n"}


@dataclass(frozen=True)
class Asset:
    """A file with its type, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """All files of `static`, read at the start. The digest in a URL changes with the content.

    `bundles` are files that a page loads together. One request less is some milliseconds of the first paint.
    """

    def __init__(self, bundles: Iterable[tuple[str, ...]] = ()) -> None:
        found = {each.name: each.read_bytes() for each in files("pipeline.web").joinpath("static").iterdir()}
        contents: dict[tuple[str, ...], bytes] = {(name,): content for name, content in found.items()}
        for names in bundles:
            separator = _SEPARATORS[PurePosixPath(names[0]).suffix]
            contents[names] = separator.join(found[name] for name in names)
        self._urls = {names: f"/static/{_versioned(names[0], content)}" for names, content in contents.items()}
        self._assets = {self._urls[names]: _asset(names[0], content) for names, content in contents.items()}
        self.version = hashlib.sha256("".join(sorted(self._assets)).encode()).hexdigest()[:12]
        """Changes with any of the files."""

    def url(self, *names: str) -> str:
        """Return the URL of a file, or of a bundle. Raises `KeyError` if there is none."""
        return self._urls[names]

    @property
    def by_url(self) -> Mapping[str, Asset]:
        """All files and bundles by their URLs."""
        return self._assets


def _versioned(name: str, content: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"


def _asset(name: str, content: bytes) -> Asset:
    # Without the time, so that two servers send the same bytes.
    return Asset(content, gzip.compress(content, mtime=0), _TYPES[PurePosixPath(name).suffix])
