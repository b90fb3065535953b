"""The files that browsers load: style sheets, scripts and their licences."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from markupsafe import Markup

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}

# A script may end without a semicolon, or with a comment.
_SEPARATOR = b"\n;\n"


@dataclass(frozen=True)
class Asset:
    """A file with its type, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """All files of `static`, read at the start. The digest in a URL changes with the content.

    `scripts` are files that a page loads together. `styles` are those that it has in its HTML. One request less is some
    milliseconds of the first paint, and a style sheet in a file would delay it by more.
    """

    def __init__(self, scripts: Iterable[tuple[str, ...]] = (), styles: Iterable[tuple[str, ...]] = ()) -> None:
        found = {each.name: each.read_bytes() for each in files("pipeline.web").joinpath("static").iterdir()}
        contents: dict[tuple[str, ...], bytes] = {(name,): content for name, content in found.items()}
        contents |= {names: _SEPARATOR.join(found[name] for name in names) for names in scripts}
        self._styles = {names: "".join(found[name].decode() for name in names) for names in styles}
        self._urls = {names: f"/static/{_versioned(names[0], content)}" for names, content in contents.items()}
        self._assets = {self._urls[names]: _asset(names[0], content) for names, content in contents.items()}
        self.version = hashlib.sha256("".join(sorted(self._assets)).encode()).hexdigest()[:12]
        """Changes with any of the files."""

    def url(self, *names: str) -> str:
        """Return the URL of a file, or of scripts that are loaded together. Raises `KeyError` if there is none."""
        return self._urls[names]

    def style(self, *names: str) -> Markup:
        """Return an element with style sheets. Raises `KeyError` if no page has them together."""
        return Markup(f"<style>{self._styles[names]}</style>")  # noqa: S704  # files of the package

    @property
    def style_hashes(self) -> tuple[str, ...]:
        """The sources in a Content-Security-Policy that allow the elements with style sheets, and no others."""
        digests = (hashlib.sha256(text.encode()).digest() for text in self._styles.values())
        return tuple(sorted(f"'sha256-{b64encode(digest).decode()}'" for digest in digests))

    @property
    def by_url(self) -> Mapping[str, Asset]:
        """All files, and scripts that are loaded together, by their URLs."""
        return self._assets


def _versioned(name: str, content: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"


def _asset(name: str, content: bytes) -> Asset:
    # Without the time, so that two servers send the same bytes.
    return Asset(content, gzip.compress(content, mtime=0), _TYPES[PurePosixPath(name).suffix])
