"""The files that browsers load: style sheets, scripts and their licences."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


@dataclass(frozen=True)
class Asset:
    """A file with its type, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """All files of `static`, read at the start. The digest in a file's URL changes with its content."""

    def __init__(self) -> None:
        found = {each.name: each.read_bytes() for each in files("pipeline.web").joinpath("static").iterdir()}
        self._urls = {name: f"/static/{_versioned(name, content)}" for name, content in found.items()}
        self._assets = {self._urls[name]: _asset(name, content) for name, content in found.items()}
        self.version = hashlib.sha256("".join(sorted(self._assets)).encode()).hexdigest()[:12]
        """Changes with any of the files."""

    def url(self, name: str) -> str:
        """Return the URL of a file. Raises `KeyError` if there is none."""
        return self._urls[name]

    @property
    def by_url(self) -> Mapping[str, Asset]:
        """All files by their URLs."""
        return self._assets


def _versioned(name: str, content: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"


def _asset(name: str, content: bytes) -> Asset:
    # Without the time, so that two servers send the same bytes.
    return Asset(content, gzip.compress(content, mtime=0), _TYPES[PurePosixPath(name).suffix])
