"""The parts of a page that somebody watches, and what has changed in them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from markupsafe import Markup

_PART = '<hx-partial hx-target="#{}" hx-swap="outerMorph">{}</hx-partial>'


def parts_digest(parts: Mapping[str, Markup]) -> str:
    """Return a text that changes with any part."""
    found = hashlib.blake2b(digest_size=12)
    for name, html in parts.items():
        found.update(f"{name}\0{html}\0".encode())
    return found.hexdigest()


class WatchedView:
    """The last rendering of a view. Each change of a part has the next version.

    A watcher that has seen a version gets all parts that have changed since, in one message. Watchers with the same
    version share the message. Used from one thread.
    """

    def __init__(self) -> None:
        self.version = 0
        self.digest = ""
        self.watchers = 0
        self.updated = asyncio.Event()
        """Set, and replaced by another one, when a watcher should look again."""
        self._parts: dict[str, Markup] = {}
        self._changed: dict[str, int] = {}
        self._messages: dict[int, bytes] = {}

    def update(self, parts: Mapping[str, Markup]) -> bool:
        """Replace the parts. False if none of them has changed."""
        changed = [name for name, html in parts.items() if self._parts.get(name) != html]
        if not changed:
            return False
        self.version += 1
        self._parts = dict(parts)
        self._changed |= dict.fromkeys(changed, self.version)
        self._messages.clear()
        self.digest = parts_digest(parts)
        self.wake()
        return True

    def wake(self) -> None:
        """Let all watchers look again."""
        updated, self.updated = self.updated, asyncio.Event()
        updated.set()

    def message(self, seen: int) -> bytes:
        """Return the parts that have changed since the version `seen`, as a server-sent event. Empty without any."""
        if seen not in self._messages:
            names = [name for name in self._parts if self._changed[name] > seen]
            self._messages[seen] = _event(self.digest, [(name, self._parts[name]) for name in names]) if names else b""
        return self._messages[seen]


def _event(digest: str, parts: list[tuple[str, Markup]]) -> bytes:
    text = "\n".join(_PART.format(name, html) for name, html in parts)
    # A carriage return would end a line of the stream.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join((f"id: {digest}", *(f"data: {line}" for line in lines), "", "")).encode()
