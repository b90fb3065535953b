"""The parts of a page that somebody watches, and what has changed in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from markupsafe import Markup

from pipeline.web.slots import fill_slots, slots_in

_PART = '<hx-partial hx-target="#{}" hx-swap="outerMorph">{}</hx-partial>'


class Watcher(Protocol):
    """An open page. `seen` is the version that it shows, 0 for none."""

    seen: int

    @property
    def is_idle(self) -> bool:
        """True if the page has received everything that was sent."""

    def send(self, event: bytes) -> None:
        """Send a server-sent event."""


def parts_digest(parts: Mapping[str, Markup]) -> str:
    """Return a text that changes with any part."""
    found = hashlib.blake2b(digest_size=12)
    for name, html in parts.items():
        found.update(f"{name}\0{html}\0".encode())
    return found.hexdigest()


class WatchedView:
    """The last rendering of a view. Each change of a part has the next version.

    A watcher gets all parts that have changed since the version that it shows, in one event. So one that reads slowly
    gets fewer events, and nothing is kept for it. Watchers with the same version share the event. A part inside another
    one is sent alone unless the other one has changed too. Used from one thread.
    """

    def __init__(self) -> None:
        self.watchers: dict[Watcher, str] = {}
        self._version = 0
        self._digest = ""
        self._parts: dict[str, Markup] = {}
        self._changed: dict[str, int] = {}
        self._events: dict[int, bytes] = {}

    def add(self, watcher: Watcher, digest: str) -> None:
        """Send changes to an open page that shows the parts with this digest now."""
        self.watchers[watcher] = digest
        self._bring_up_to_date(watcher)

    def update(self, parts: Mapping[str, Markup]) -> None:
        """Replace the parts, and send what has changed, also to those that have not read everything before."""
        changed = [name for name, html in parts.items() if self._parts.get(name) != html]
        if changed:
            self._version += 1
            self._changed |= dict.fromkeys(changed, self._version)
            self._parts = dict(parts)
            self._digest = parts_digest(parts)
            self._events.clear()
        for watcher in self.watchers:
            self._bring_up_to_date(watcher)

    def _bring_up_to_date(self, watcher: Watcher) -> None:
        if watcher.seen == self._version or not watcher.is_idle:
            return
        if watcher.seen or self.watchers[watcher] != self._digest:
            watcher.send(self._event(watcher.seen))
        watcher.seen = self._version

    def _event(self, seen: int) -> bytes:
        if seen not in self._events:
            names = [name for name in self._parts if self._changed[name] > seen]
            inner = {each for name in names for each in slots_in(self._parts[name])}
            text = "\n".join(
                _PART.format(name, fill_slots(self._parts[name], self._parts)) for name in names if name not in inner
            )
            # A carriage return would end a line of the stream.
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            self._events[seen] = "\n".join(
                (f"id: {self._digest}", *(f"data: {line}" for line in lines), "", "")
            ).encode()
        return self._events[seen]
