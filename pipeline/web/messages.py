"""Messages about the effect of an action, for the next page that its user opens."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

_MAX_KEPT = 1000


@dataclass(frozen=True)
class WebMessage:
    """The effect of an action, or why it failed, with what to do instead."""

    text: str
    hint: str = ""
    is_error: bool = False


class Messages:
    """Keeps messages in memory, each for one user until it is shown. The oldest are dropped above a thousand.

    Used from one thread.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, WebMessage]] = OrderedDict()

    def put(self, user: str, message: WebMessage) -> str:
        """Keep a message. Return the id by which the next page names it."""
        key = secrets.token_urlsafe(12)
        self._kept[key] = (user, message)
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return key

    def take(self, user: str, key: str) -> WebMessage | None:
        """Return a message of a user and forget it."""
        owner, message = self._kept.get(key, ("", None))
        if owner != user or message is None:
            return None
        del self._kept[key]
        return message
