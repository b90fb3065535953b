"""Paths of this server that a request names."""

from __future__ import annotations

from urllib.parse import quote


def local_path(text: str) -> str:
    """Return a path of this server, quoted, or `/` for what a browser could take for another site."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return quote(text) if is_local else "/"
